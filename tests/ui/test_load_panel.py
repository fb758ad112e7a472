"""How the model is loaded: what the Settings page shows and keeps."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from localai_app.errors import GgufError
from localai_app.models.fit import Memory
from localai_app.models.loading import Overrides
from localai_app.ui.jobs import Jobs
from localai_app.ui.models.load_panel import KV_TYPES, LoadPanel
from localai_app.ui.theme import Theme
from tests.ui.conftest import Desk
from tests.ui.fake_chat import FakeModels

GB = 10**9


@pytest.fixture
def models() -> FakeModels:
    return FakeModels()


@pytest.fixture
def panel(qtbot: QtBot, theme: Theme, jobs: Jobs, models: FakeModels) -> Iterator[LoadPanel]:
    made = LoadPanel(theme, jobs, models)
    made.show()
    qtbot.waitExposed(made)
    settle(qtbot, jobs)
    yield made
    made.close()
    made.deleteLater()


def settle(qtbot: QtBot, jobs: Jobs) -> None:
    qtbot.waitUntil(lambda: not jobs.busy, timeout=5000)
    QApplication.processEvents()


def test_what_the_app_chooses_is_shown_as_unset(panel: LoadPanel) -> None:
    assert panel.context.value() == 8192
    assert panel.context.property("unset") is True
    assert panel.context.maximum() == 32_768
    assert panel.kv_type.currentText() == "Automatic (f16)"
    assert "Fits" in panel.estimate.text()
    assert "8,192 tokens" in panel.estimate.text()
    assert not panel.reset.isEnabled()
    assert panel.shortage.isHidden()
    assert not panel.gpu_layers.isEnabled(), "there is no GPU"


def test_a_longer_context_shows_what_it_costs_and_is_kept(
    panel: LoadPanel, models: FakeModels, qtbot: QtBot, jobs: Jobs
) -> None:
    panel.context.setValue(16_384)
    settle(qtbot, jobs)
    assert "16,384 tokens" in panel.estimate.text()
    assert panel.context.property("unset") is False
    qtbot.waitUntil(lambda: bool(models.kept), timeout=3000)
    assert list(models.kept.values()) == [Overrides(context_length=16_384)]


def test_the_kind_of_cache_can_be_set_and_left_to_the_app_again(
    panel: LoadPanel, models: FakeModels, qtbot: QtBot, jobs: Jobs
) -> None:
    panel.kv_type.setCurrentIndex(KV_TYPES.index("q8_0"))
    panel.kv_type.activated.emit(KV_TYPES.index("q8_0"))
    panel.flush()
    settle(qtbot, jobs)
    assert list(models.kept.values()) == [Overrides(kv_type="q8_0")]
    panel.reset.click()
    panel.flush()
    settle(qtbot, jobs)
    assert list(models.kept.values()) == [Overrides()]
    assert panel.kv_type.currentText() == "Automatic (f16)"


def test_a_short_context_is_as_long_as_the_shortest(
    panel: LoadPanel, models: FakeModels, qtbot: QtBot, jobs: Jobs
) -> None:
    panel.context.setValue(5)
    panel.flush()
    settle(qtbot, jobs)
    assert list(models.kept.values()) == [Overrides(context_length=256)]
    assert panel.context.value() == 256


def test_too_much_is_said_and_can_be_loaded_all_the_same(
    panel: LoadPanel, models: FakeModels, qtbot: QtBot, jobs: Jobs
) -> None:
    models.memory = Memory(ram_free=GB // 10, ram_total=16 * GB)
    panel.refresh()
    settle(qtbot, jobs)
    assert not panel.shortage.isHidden()
    assert panel.estimate.text().startswith("Will not fit")
    panel.anyway.click()
    panel.flush()
    settle(qtbot, jobs)
    assert panel.shortage.isHidden()
    assert list(models.kept.values()) == [Overrides(anyway=True)]


def test_a_gpu_can_be_given_layers(panel: LoadPanel, models: FakeModels, qtbot: QtBot, jobs: Jobs) -> None:
    models.memory = replace(models.memory, vram_free=8 * GB, vram_total=8 * GB)
    panel.refresh()
    settle(qtbot, jobs)
    assert (panel.gpu_layers.value(), panel.gpu_layers.maximum()) == (5, 5)
    panel.gpu_layers.setValue(2)
    panel.flush()
    settle(qtbot, jobs)
    assert list(models.kept.values()) == [Overrides(gpu_layers=2)]
    assert "2 of 5 layers on the GPU" in panel.estimate.text()


def test_another_model_brings_its_own_values(
    panel: LoadPanel, models: FakeModels, qtbot: QtBot, jobs: Jobs
) -> None:
    panel.context.setValue(16_384)
    models.select(models.models[1].path)
    panel.refresh()
    settle(qtbot, jobs)
    assert models.kept == {models.models[0].path: Overrides(context_length=16_384)}
    assert panel.context.value() == 8192
    assert panel.accessibleName() == models.models[1].name


def test_a_model_that_cannot_be_read_leaves_nothing_to_set(
    panel: LoadPanel, models: FakeModels, qtbot: QtBot, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path | None = None, overrides: Overrides | None = None) -> None:
        raise GgufError("This is no GGUF file.", "Choose another.")

    monkeypatch.setattr(models, "plan", broken)
    panel.refresh()
    settle(qtbot, jobs)
    assert panel.estimate.text() == "This is no GGUF file. Choose another."
    assert not panel.context.isEnabled()
    assert not panel.anyway.isEnabled()


def test_the_settings_page_has_it_and_follows_the_selected_model(desk: Desk) -> None:
    desk.window.show_settings()
    desk.settle()
    panel = desk.window.findChild(LoadPanel)
    assert panel is not None
    assert panel.accessibleName() == desk.models.models[0].name
    desk.window.select_model(desk.models.models[1].path)
    desk.settle()
    assert panel.accessibleName() == desk.models.models[1].name


def test_a_model_that_was_loaded_with_less_is_told(desk: Desk) -> None:
    desk.models.notice = "Memory ran out."
    desk.send("Hello")
    desk.until(lambda: desk.window.toast.text == "Memory ran out.")
