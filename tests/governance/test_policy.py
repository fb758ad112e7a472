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


MEDICAL = "extract.medical-letter"


@pytest.mark.parametrize(
    ("listed", "allowed"),
    [
        (None, {"extract", "extract.invoice", "answer"}),
        ((), set()),
        (("documents", "extract"), {"extract", "extract.invoice"}),
        (("documents", "extract", MEDICAL), {"extract", "extract.invoice", MEDICAL}),
        (("documents", MEDICAL), set()),
        (("extract", MEDICAL), set()),
        (("documents", "answer"), {"answer"}),
    ],
)
def test_tasks_and_their_templates_are_allowed_by_name(
    listed: tuple[str, ...] | None, allowed: set[str]
) -> None:
    policy = Policy({"AllowedTasks": listed})
    for name in ("extract", "extract.invoice", MEDICAL, "answer"):
        assert policy.allows_task(name) is (name in allowed)
        if name in allowed:
            policy.require_task(name)
        else:
            with pytest.raises(PolicyRefused):
                policy.require_task(name)


def test_a_template_that_is_off_says_who_turns_it_on() -> None:
    with pytest.raises(PolicyRefused, match=f"“{MEDICAL}” is off on this computer") as caught:
        Policy().require_task(MEDICAL)
    assert "AllowedTasks" in caught.value.hint


def test_empty_list_allows_nothing() -> None:
    assert not Policy({"AllowedModels": ()}).allows_model(MODEL)


def test_key_that_does_not_exist_is_our_own_bug() -> None:
    with pytest.raises(AssertionError):
        Policy({"AllowModels": ()})


def test_every_key_is_named_once_and_explained() -> None:
    assert len({key.name for key in KEYS}) == len(KEYS)
    assert all(key.means for key in KEYS)


@pytest.mark.parametrize(
    ("values", "search", "pull", "from_catalogue"),
    [
        ({}, True, True, True),
        ({"OfflineOnly": True}, False, False, False),
        ({"AllowHuggingFace": False}, False, False, False),
        ({"AllowHuggingFace": False, "ModelSourceURL": "https://hub.example/"}, True, True, True),
        ({"RequireSignedCatalogue": True}, False, False, True),
        ({"AllowedPublishers": ("google",)}, True, True, True),
        ({"AllowedPublishers": ("other",)}, True, False, False),
        ({"AllowedPublishers": ()}, True, False, False),
        ({"AllowedLicences": ("mit",)}, True, True, True),
        ({"AllowedLicences": ("apache-2.0",)}, True, False, False),
    ],
)
def test_fetching_models_can_be_regulated(
    values: dict[str, object], search: bool, pull: bool, from_catalogue: bool
) -> None:
    policy = Policy(values)  # type: ignore[arg-type]

    def allowed(ask: Callable[[], None]) -> bool:
        try:
            ask()
        except PolicyRefused:
            return False
        return True

    assert allowed(policy.require_search) is search
    assert allowed(lambda: policy.require_pull("google/gemma", licence="mit")) is pull
    catalogued = allowed(lambda: policy.require_pull("google/gemma", licence="mit", from_catalogue=True))
    assert catalogued is from_catalogue


def test_licence_that_is_unknown_is_in_no_list() -> None:
    Policy().require_pull("a/b")
    with pytest.raises(PolicyRefused, match="unknown licence"):
        Policy({"AllowedLicences": ("mit",)}).require_pull("a/b")


def test_address_of_the_organisations_hub_has_no_slash_at_its_end() -> None:
    assert Policy({"ModelSourceURL": "https://hub.example/"}).model_source == "https://hub.example"
