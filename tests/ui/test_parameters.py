from collections.abc import Iterator

import pytest
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QLineEdit
from pytestqt.qtbot import QtBot

from localai_app.chat.conversation import Parameters
from localai_app.ui.chat.parameters import ParameterPanel
from localai_app.ui.theme import Theme


@pytest.fixture
def panel(qtbot: QtBot, theme: Theme) -> Iterator[ParameterPanel]:
    made = ParameterPanel(theme)
    made.show()
    qtbot.waitExposed(made)
    made.told = []  # type: ignore[attr-defined]
    made.parameters_changed.connect(made.told.append)  # type: ignore[attr-defined]
    yield made
    made.close()
    made.deleteLater()


def spin(panel: ParameterPanel, name: str) -> QDoubleSpinBox:
    field = panel.widget(name)
    assert isinstance(field, QDoubleSpinBox)
    return field


def test_what_is_not_set_shows_the_default_and_stays_unset(panel: ParameterPanel) -> None:
    assert spin(panel, "temperature").value() == 0.8
    assert spin(panel, "top_k").value() == 40
    assert spin(panel, "max_tokens").text() == "no limit"
    assert panel.parameters == Parameters()
    assert panel.widget("temperature").property("unset") is True
    assert not panel.reset_button("temperature").isVisible()


def test_the_models_recommendation_is_shown_where_nothing_is_set(panel: ParameterPanel) -> None:
    panel.set_recommended({"temperature": 0.2, "top_p": 0.9, "unknown": 1.0})
    assert spin(panel, "temperature").value() == 0.2
    assert spin(panel, "top_p").value() == 0.9
    assert spin(panel, "top_k").value() == 40
    assert panel.parameters == Parameters()


def test_a_value_is_told_once_typing_rests(panel: ParameterPanel, qtbot: QtBot) -> None:
    spin(panel, "temperature").setValue(0.3)
    spin(panel, "temperature").setValue(0.35)
    spin(panel, "top_k").setValue(12)
    qtbot.waitUntil(lambda: bool(panel.told), timeout=3000)  # type: ignore[attr-defined]
    assert panel.told == [Parameters(temperature=0.35, top_k=12)]  # type: ignore[attr-defined]
    assert isinstance(panel.parameters.top_k, int)


def test_reset_takes_one_value_or_all_back(panel: ParameterPanel) -> None:
    panel.show_values("", Parameters(temperature=0.1, seed=5, overflow="drop_oldest"))
    assert panel.reset_button("temperature").isVisible()
    panel.reset_button("temperature").click()
    assert panel.parameters == Parameters(seed=5, overflow="drop_oldest")
    assert spin(panel, "temperature").value() == 0.8
    panel._reset.click()
    assert panel.parameters == Parameters()
    panel.flush()
    assert panel.told == [Parameters()]  # type: ignore[attr-defined]


def test_an_empty_seed_is_random_again(panel: ParameterPanel) -> None:
    seed = panel.widget("seed")
    assert isinstance(seed, QLineEdit)
    QTest.keyClicks(seed, "42x")
    assert panel.parameters.seed == 42
    seed.clear()
    seed.textEdited.emit("")
    assert panel.parameters.seed is None


def test_overflow_has_the_three_ways(panel: ParameterPanel) -> None:
    choice = panel.widget("overflow")
    assert isinstance(choice, QComboBox)
    for row, value in enumerate(("stop", "drop_oldest", "keep_start_and_end")):
        choice.setCurrentIndex(row)
        choice.activated.emit(row)
        assert panel.parameters.overflow == value


def test_showing_another_chat_tells_nothing(panel: ParameterPanel) -> None:
    panel.show_values("Be brief.", Parameters(top_p=0.5))
    panel.flush()
    assert panel.told == []  # type: ignore[attr-defined]
    assert spin(panel, "top_p").value() == 0.5
    assert panel.system_prompt == "Be brief."
