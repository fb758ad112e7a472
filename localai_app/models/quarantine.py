"""Where what is fetched lies until it has proved to be a model, and the step out of there."""

import contextlib
import os
import shutil
from pathlib import Path

from localai_app.models.growing_hash import size_of
from localai_app.models.pulls import PullFile, PullRow
from localai_app.models.repository import base_name
from localai_app.store.files import make_private_folder, sync_folder

QUARANTINE = ".quarantine"


class Quarantine:
    """A folder inside the models folder that no list of models looks into."""

    def __init__(self, models: Path) -> None:
        """Nothing is made here."""
        self._models = models
        self.folder = models / QUARANTINE

    def open(self, row: PullRow) -> Path:
        """The folder of one pull, made where it is not there."""
        folder = self.folder / row.folder
        make_private_folder(folder)
        return folder

    def part(self, row: PullRow, file: PullFile) -> Path:
        """Where ``file`` grows."""
        return self.folder / row.folder / f"{base_name(file)}.part"

    def done(self, row: PullRow) -> int:
        """Bytes of all files that are here."""
        return sum(
            file.size if file.verified else min(file.size, size_of(self.part(row, file)))
            for file in row.files
        )

    def missing(self, row: PullRow) -> int:
        """Bytes that are still to come."""
        return sum(file.size for file in row.files) - self.done(row)

    def delete(self, row: PullRow) -> None:
        """Delete all that has come of a pull."""
        shutil.rmtree(self.folder / row.folder, ignore_errors=True)

    def target(self, row: PullRow) -> Path:
        """``owner/repository``; where another file of that name stands, a folder for this revision."""
        target = self._models / row.repo
        if any((target / base_name(file)).exists() for file in row.files):
            return target.with_name(f"{target.name}@{row.revision[:8]}")
        return target

    def name_whole(self, row: PullRow) -> Path:
        """Give what came whole its own names; the first file, which may stand in its place already."""
        folder = self.folder / row.folder
        for file in row.files:
            with contextlib.suppress(FileNotFoundError):  # it was renamed before the app was killed
                self.part(row, file).replace(folder / base_name(file))
        return folder / base_name(row.files[0])

    def move_out(self, row: PullRow, path: Path) -> None:
        """Rename the model into its place, read-only; ``path`` is that of its first file."""
        folder = self.folder / row.folder
        path.parent.mkdir(parents=True, exist_ok=True)
        # A split model is found by its first file, which comes last: it is there whole or not at all.
        for name in reversed([base_name(file) for file in row.files]):
            if (folder / name).exists():
                if os.name == "posix":
                    (folder / name).chmod(0o444)
                (folder / name).replace(path.parent / name)
        sync_folder(path.parent)
