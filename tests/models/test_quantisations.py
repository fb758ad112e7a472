"""Files of a repository become choices."""

import random

import pytest

from localai_app.models.pulls import PullFile
from localai_app.models.quantisations import choices, explain, quantisation_of


def file(name: str, size: int = 100) -> PullFile:
    return PullFile(name, size, "")


@pytest.mark.parametrize(
    ("name", "quantisation"),
    [
        ("Llama-3.2-1B-Instruct-Q4_K_M", "Q4_K_M"),
        ("gemma-3-270m-it-UD-Q4_K_XL", "UD-Q4_K_XL"),
        ("model.Q8_0", "Q8_0"),
        ("model-iq2_xxs", "IQ2_XXS"),
        ("gpt-oss-20b-mxfp4", "MXFP4"),
        ("BF16/model-BF16", "BF16"),
        ("model-f16", "F16"),
        ("Q3-lost-in-the-name-Q5_1", "Q5_1"),
        ("qwen3-4b", ""),
    ],
)
def test_name_tells_the_quantisation(name: str, quantisation: str) -> None:
    assert quantisation_of(name) == quantisation


def test_parts_in_any_order_make_one_model() -> None:
    parts = [file(f"m-Q8_0-{n:05}-of-00012.gguf", n) for n in range(1, 13)]
    shuffled = random.Random(3).sample(parts, len(parts))
    (choice,) = choices(shuffled)
    assert (choice.name, choice.size, choice.files) == ("m-Q8_0.gguf", 78, tuple(parts))


@pytest.mark.parametrize(
    "names",
    [
        ["m-Q8_0-00002-of-00002.gguf"],
        ["m-Q8_0-00001-of-00002.gguf"],
        ["mmproj-m-f16.gguf"],
        ["model.safetensors", "README.md"],
    ],
)
def test_what_is_no_whole_model_is_not_offered(names: list[str]) -> None:
    assert choices([file(name) for name in names]) == []


def test_one_is_recommended() -> None:
    names = ["m-Q2_K.gguf", "m-Q4_K_S.gguf", "m-Q4_K_M.gguf", "m-Q8_0.gguf", "m-F16.gguf"]
    assert [c.quantisation for c in choices([file(name) for name in names]) if c.recommended] == ["Q4_K_M"]
    assert not any(c.recommended for c in choices([file("m-F32.gguf")]))


@pytest.mark.parametrize(
    "name", ["Q2_K", "IQ3_M", "Q4_K_M", "Q5_1", "Q6_K", "Q8_0", "F16", "F32", "MXFP4", "TQ1_0", ""]
)
def test_every_quantisation_is_explained_in_a_sentence(name: str) -> None:
    assert explain(name).endswith(".")
    assert explain(name).startswith(name or "The file")
