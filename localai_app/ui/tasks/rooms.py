"""The services that tasks stand on in the window, handed on as one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localai_app.documents.service import DocumentService
    from localai_app.tasks.service import TaskService


@dataclass(frozen=True)
class TaskRooms:
    """What policy forbids has no control in the window."""

    tasks: "TaskService"
    documents: "DocumentService"

    @property
    def may_run(self) -> bool:
        """Whether any kind of task may be run at all."""
        return bool(self.tasks.kinds())
