"""What the window shows of a model that was unloaded, and how it comes back."""

import itertools

import pytest
from PySide6.QtCore import Qt

from localai_app.engine.protocol import ModelInfo
from localai_app.errors import ModelLoadFailed
from localai_app.models.residency import DEFAULT_MINUTES, Absence
from localai_app.ui.key_guard import KeyGuard
from tests.ui.conftest import Desk


def state(desk: Desk) -> str:
    """What the header says of the model."""
    device = desk.window.header.device
    return device.text() if device.isVisible() else ""


def unload(desk: Desk, why: Absence) -> None:
    desk.residency.unload(why)
    desk.settle()


def count_loads(desk: Desk, monkeypatch: pytest.MonkeyPatch, *, failing: bool = False) -> list[int]:
    """Gets a 1 for each load from now on."""
    loads, load = [], desk.models.load

    def counted() -> ModelInfo:
        loads.append(1)
        if failing:
            raise ModelLoadFailed("Memory does not suffice.")
        return load()

    monkeypatch.setattr(desk.models, "load", counted)
    return loads


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ("idle", "Unloaded · loads with your next message"),
        ("memory", "Unloaded, memory is short · loads with your next message"),
    ],
)
def test_the_header_says_that_the_model_is_unloaded_and_why(desk: Desk, why: Absence, words: str) -> None:
    assert state(desk) == "CPU · 8 threads"
    unload(desk, why)
    assert state(desk) == words
    assert "nothing is lost" in desk.window.header.device.toolTip()
    assert not desk.window.header.context.isVisible()


def test_a_narrow_window_says_it_in_a_word(desk: Desk) -> None:
    header = desk.window.header
    header.show_key(KeyGuard("Weak key: a file.", weak=True))
    unload(desk, "memory")
    for width in range(1200, 760, -20):
        desk.window.resize(width, 600)
        desk.until(lambda width=width: header.width() == width)
        shown = [part for part in (header.model_button, header.device, header.weak) if part.isVisible()]
        for left, right in itertools.pairwise(shown):
            assert left.geometry().right() < right.geometry().left()
        if state(desk) == "Unloaded":
            break
    else:
        pytest.fail("there is always either the whole sentence or nothing")
    desk.window.resize(1280, 820)
    desk.until(lambda: state(desk).startswith("Unloaded, memory"))


def test_the_answer_brings_the_model_back(desk: Desk) -> None:
    unload(desk, "memory")
    desk.models.load()  # what a real turn does
    desk.send("Question")
    assert state(desk) == "CPU · 8 threads"


def test_the_first_key_brings_an_idle_model_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    unload(desk, "idle")
    loads = count_loads(desk, monkeypatch)
    desk.type("Why is it", key=None)
    desk.settle()
    assert state(desk) == "CPU · 8 threads"
    assert loads == [1]
    assert desk.page.composer.text == "Why is it"
    unload(desk, "idle")
    desk.type("?", key=None)
    desk.settle()
    assert loads == [1, 1]


def test_memory_that_is_short_is_not_taken_by_typing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    unload(desk, "memory")
    loads = count_loads(desk, monkeypatch)
    desk.type("Why is it", key=None)
    desk.settle()
    assert loads == []
    assert state(desk).startswith("Unloaded")


def test_a_model_that_cannot_come_back_is_tried_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    unload(desk, "idle")
    loads = count_loads(desk, monkeypatch, failing=True)
    desk.type("Why is it", key=None)
    desk.settle()
    desk.type("?", key=None)
    desk.settle()
    assert loads == [1]
    assert "Loading" not in state(desk)


def test_loading_is_shown_while_an_answer_waits_for_it(desk: Desk) -> None:
    unload(desk, "memory")
    desk.page.model_loading.emit()
    assert state(desk) == "Loading the model…"


def test_the_idle_time_is_chosen_and_kept(desk: Desk) -> None:
    desk.window.show_settings()
    page = desk.window.settings_page
    assert page is not None
    assert page.idle.currentData() == DEFAULT_MINUTES
    assert page.idle.accessibleName() == "Unload when idle"
    page.idle.setFocus()
    page.idle.setCurrentIndex(page.idle.findText("Never"))
    page.idle.activated.emit(page.idle.currentIndex())
    desk.settle()
    assert desk.settings.values["engine.idle_minutes"] == 0
    assert desk.residency.idle_minutes == 0


def test_the_idle_time_is_chosen_with_the_keyboard(desk: Desk) -> None:
    desk.window.show_settings()
    page = desk.window.settings_page
    assert page is not None
    desk.qtbot.keyClick(page.idle, Qt.Key.Key_Up)
    desk.settle()
    assert desk.residency.idle_minutes == 5
