"""An app that moves its models folder: ``moving_app.py TARGET``, as if that were another file system.

Says on stdout that it begins, then where the models are.
"""

import sys
from pathlib import Path

from localai_app.app import open_app
from localai_app.models.moving import FolderMover
from localai_app.paths import Paths
from localai_app.processes import start_spawner
from tests.fake_engine import FakeEngine

start_spawner()
FolderMover._rename = lambda self, source, target: False
with open_app(Paths.for_user(), engine=FakeEngine()) as app:
    sys.stdout.write("begins\n")
    sys.stdout.flush()
    app.library.move_folder(Path(sys.argv[1]))
    sys.stdout.write(f"{app.library.folder}\n")
