"""The services that the Models page stands on, handed to it as one."""

from collections.abc import Callable
from dataclasses import dataclass

from localai_app.errors import PolicyRefused
from localai_app.governance.policy import Policy
from localai_app.models.catalogue_service import CatalogueService
from localai_app.models.connection import Connection
from localai_app.models.library import ModelLibrary
from localai_app.models.pull import PullService
from localai_app.models.service import ModelService


@dataclass(frozen=True)
class ModelRooms:
    """All that is done with models. What policy forbids has no control on the page."""

    models: ModelService
    library: ModelLibrary
    catalogue: CatalogueService
    pulls: PullService
    connection: Connection
    policy: Policy

    @property
    def may_connect(self) -> bool:
        """Whether anything may be fetched."""
        return _allowed(self.policy.require_connection)

    @property
    def may_search(self) -> bool:
        """Whether models beyond the catalogue may be looked for."""
        return _allowed(self.policy.require_search)

    @property
    def may_import(self) -> bool:
        """Whether files from elsewhere may be used."""
        return _allowed(self.policy.require_import)

    @property
    def host(self) -> str:
        """Where models come from, for people."""
        return self.connection.endpoint.partition("://")[2].partition("/")[0]


def _allowed(require: Callable[[], None]) -> bool:
    try:
        require()
    except PolicyRefused:
        return False
    return True
