"""``localai-app models fit`` and what else the command line says of memory, with an engine that pretends."""

from collections.abc import Callable
from typing import get_args

import pytest

from localai_app.cli.parser import KV_TYPES
from localai_app.engine.protocol import LoadSettings
from localai_app.errors import ModelLoadFailed
from localai_app.models import loading, service
from localai_app.models.fit import KvType, Memory, estimate
from localai_app.paths import Paths
from tests.models.test_fit import GB, header
from tests.test_cli import Shell, shell

__all__ = ["shell"]  # the fixture


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A model of 2.3 GB, and as much free memory as a test sets."""
    free = [12 * GB]
    monkeypatch.setattr(service, "read_header", lambda path: header())
    monkeypatch.setattr(loading, "live_memory", lambda devices: Memory(free[0], 16 * GB))
    return lambda size: free.__setitem__(0, size)


def test_the_plan_of_the_selected_model_is_shown_with_its_numbers(shell: Shell) -> None:
    result = shell("models", "fit")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("Pretend 1B: Fits: about 3.7 GB of 12.0 GB free memory")
    assert "8,192 tokens" in result.out
    assert "automatic, at most 40,960" in result.out
    assert "no GPU was found" in result.out


def test_what_is_asked_for_is_planned_and_not_kept(shell: Shell) -> None:
    report = shell("models", "fit", "pretend", "--context", "16384", "--kv-type", "q8_0", "--json").json
    assert (report["context_length"], report["kv_type"], report["grade"]) == (16384, "q8_0", "fits")
    assert report["total"] == report["needed"] > report["kv"] > 0
    assert (report["longest_context"], report["loads"]) == (40_960, True)
    assert shell("models", "fit", "--json").json["overrides"] == {
        "context_length": 0,
        "kv_type": None,
        "gpu_layers": -1,
        "anyway": False,
    }


def test_what_is_kept_is_how_the_model_is_loaded_until_it_is_reset(shell: Shell) -> None:
    assert shell("models", "fit", "--context", "4096", "--keep").code == 0
    assert "set, at most" in shell("models", "fit").out
    shell("chat", "--prompt", "x")
    assert shell.engine.settings.context_length == 4096
    assert shell("models", "fit", "--reset", "--json").json["context_length"] == 8192
    assert "set, at most" not in shell("models", "fit").out


def test_too_much_is_refused_with_exit_code_1_and_the_way_to_go_on(
    shell: Shell, memory: Callable[[int], None]
) -> None:
    memory(3 * GB)
    result = shell("models", "fit", "--context", "40960", "--keep", "--json")
    assert (result.code, result.json["grade"], result.json["loads"]) == (1, "will not fit", False)
    assert "--anyway --keep" in result.err
    refused = shell("chat", "--prompt", "x")
    assert refused.code == 1
    assert "Will not fit" in refused.err
    assert shell.engine.loads == []
    assert shell("models", "fit", "--anyway", "--keep").code == 0
    assert shell("chat", "--prompt", "x").code == 0


@pytest.mark.parametrize(
    "arguments", [["--context", "3"], ["--gpu-layers", "-7"], ["--kv-type", "f64"], ["--context", "much"]]
)
def test_what_cannot_be_is_wrong_usage(arguments: list[str], shell: Shell) -> None:
    result = shell("models", "fit", *arguments)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)


def test_the_command_line_knows_every_type_of_cache() -> None:
    assert ("auto", *get_args(KvType)) == KV_TYPES


def test_a_model_that_was_loaded_with_less_is_told_beside_the_answer(
    shell: Shell, memory: Callable[[int], None]
) -> None:
    short = LoadSettings(context_length=4096)
    memory(int(estimate(header(), Memory(64 * GB, 64 * GB), short).needed / 0.84))
    result = shell("chat", "--prompt", "x")
    assert (result.code, result.out) == (0, "Yes.\n")
    assert result.err == (
        "Memory is short: Pretend 1B answers with 4,096 tokens of context instead of "
        "8,192 tokens of context.\n"
    )
    assert shell("chat", stdin="x\ny\n").err.count("Memory is short") == 1


def test_doctor_shows_how_the_selected_model_would_be_loaded(
    shell: Shell, memory: Callable[[int], None]
) -> None:
    def fit() -> tuple[str, str]:
        checks = shell("doctor", "--no-speed", "--json").json["checks"]
        return next((check["level"], check["text"]) for check in checks if check["name"] == "fit")

    level, text = fit()
    assert level == "ok"
    assert "8,192 tokens" in text
    memory(2 * GB)
    level, text = fit()
    assert level == "warn"
    assert "Will not fit" in text
    assert "\n" not in text


def test_a_broken_model_fails_the_command_in_one_line(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    path = Paths.for_user().models[0]
    path.mkdir(parents=True, exist_ok=True)
    (path / "broken.gguf").write_bytes(b"GGUF" + bytes(200))
    result = shell("models", "fit", str(path / "broken.gguf"))
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: broken.gguf: ")
    assert ModelLoadFailed.exit_code == result.code
