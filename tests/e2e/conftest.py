"""End-to-end tests show no window on anybody's screen."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
