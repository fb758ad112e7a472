"""Staying awake while a run is under way: on mains power only, and harmless where nobody can be asked."""

import contextlib
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import psutil
import pytest

from localai_app.tasks.running import power
from localai_app.tasks.running.power import KeepAwake
from tests.tasks.task_rooms import eventually


class Machine:
    def __init__(self, *, mains: bool) -> None:
        self.mains = mains
        self.told: list[str] = []

    @contextlib.contextmanager
    def keep(self) -> Iterator[None]:
        self.told.append("awake")
        try:
            yield
        finally:
            self.told.append("may sleep")


def test_the_computer_stays_awake_while_that_is_wanted() -> None:
    machine = Machine(mains=True)
    awake = KeepAwake(lambda: machine.mains, machine.keep)
    awake.want(wanted=True)
    awake.want(wanted=True)
    eventually(lambda: machine.told == ["awake"])
    awake.want(wanted=False)
    eventually(lambda: machine.told == ["awake", "may sleep"])
    awake.close()


def test_it_may_sleep_on_battery_and_stays_awake_when_the_plug_is_in_again() -> None:
    machine = Machine(mains=False)
    awake = KeepAwake(lambda: machine.mains, machine.keep, look_seconds=0.01)
    awake.want(wanted=True)
    assert machine.told == []
    machine.mains = True
    eventually(lambda: machine.told == ["awake"])
    machine.mains = False
    eventually(lambda: machine.told == ["awake", "may sleep"])
    awake.close()
    assert machine.told == ["awake", "may sleep"]


def test_closing_takes_back_what_was_asked_for() -> None:
    machine = Machine(mains=True)
    awake = KeepAwake(lambda: True, machine.keep)
    awake.want(wanted=True)
    eventually(lambda: machine.told == ["awake"])
    awake.close()
    assert machine.told == ["awake", "may sleep"]
    assert "keep awake" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("battery", "mains"), [(None, True), (True, True), (False, False), ("unknown", False)]
)
def test_mains_is_no_battery_or_a_plug_that_is_in(
    battery: object, mains: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugged = None if battery == "unknown" else battery
    found = None if battery is None else SimpleNamespace(power_plugged=plugged)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: found, raising=False)
    assert power.on_mains() is mains


def test_where_no_desktop_can_be_asked_nothing_happens() -> None:
    with power.inhibit():
        pass
