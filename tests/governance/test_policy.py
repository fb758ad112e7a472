from collections.abc import Callable

import pytest

from localai_app.errors import PolicyRefused
from localai_app.governance.policy import KEYS, Policy

MODEL = "ab" * 32


def test_defaults_allow_everything() -> None:
    policy = Policy()
    policy.require_chat()
    policy.require_model(MODEL)
    policy.require_export("docx")
    policy.require_delete()
    for kind in ("os", "passphrase", "file"):
        policy.require_key_store(kind)
    assert policy.banner == ""
    assert policy.saves_history


STRICT = Policy(
    {
        "AllowedTasks": ("summarise",),
        "AllowedModels": (MODEL,),
        "AllowExport": False,
        "LegalHold": True,
        "KeyStore": "os",
    }
)


@pytest.mark.parametrize(
    "act",
    [
        STRICT.require_chat,
        lambda: STRICT.require_model("cd" * 32),
        lambda: STRICT.require_export("md"),
        STRICT.require_delete,
        lambda: STRICT.require_key_store("file"),
        lambda: STRICT.require_key_store("passphrase"),
    ],
)
def test_what_is_not_allowed_is_refused_with_a_hint(act: Callable[[], None]) -> None:
    with pytest.raises(PolicyRefused) as caught:
        act()
    assert caught.value.hint
    assert caught.value.exit_code == 3


def test_what_is_listed_is_allowed() -> None:
    STRICT.require_model(MODEL.upper())
    STRICT.require_key_store("os")


def test_empty_list_allows_nothing() -> None:
    assert not Policy({"AllowedModels": ()}).allows_model(MODEL)


def test_key_that_does_not_exist_is_our_own_bug() -> None:
    with pytest.raises(AssertionError):
        Policy({"AllowModels": ()})


def test_every_key_is_named_once_and_explained() -> None:
    assert len({key.name for key in KEYS}) == len(KEYS)
    assert all(key.means for key in KEYS)
