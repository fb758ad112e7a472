"""End-to-end tests show no window on anybody's screen."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # The offscreen platform has no window manager to ask.
    config.addinivalue_line("qt_log_ignore", "This plugin does not support")
