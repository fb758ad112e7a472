"""The services that documents stand on in the window, handed on as one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from localai_app.errors import PolicyRefused
from localai_app.governance.policy import Policy

if TYPE_CHECKING:
    from localai_app.documents.service import DocumentService


@dataclass(frozen=True)
class DocumentRooms:
    """What policy forbids has no control in the window."""

    documents: "DocumentService"
    policy: Policy

    @property
    def may_read(self) -> bool:
        """Whether documents may be worked with at all."""
        try:
            self.policy.require_documents()
        except PolicyRefused:
            return False
        return True
