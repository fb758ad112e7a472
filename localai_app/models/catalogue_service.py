"""The catalogue as either face uses it: loaded and checked once, with the outlook of each model here."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from localai_app.engine.protocol import Device
from localai_app.errors import PolicyRefused
from localai_app.governance.audit import Audit, AuditEvent
from localai_app.governance.policy import Policy
from localai_app.models import catalogue_file
from localai_app.models.catalogue import CatalogueEntry, SortKey, Wanted, search, sort
from localai_app.models.catalogue_file import LoadedCatalogue
from localai_app.models.fit import Grade, Memory, live_memory
from localai_app.models.outlook import Outlook, outlook, recommend
from localai_app.models.speed import Speeds
from localai_app.store.settings import Settings

_SEEN = "catalogue.seen"
_ANY = Wanted()
_WHOLE = ("top_k", "max_tokens")
"""Sampling values that are whole numbers."""
_GRADES: dict[Grade, int] = {"fits": 3, "partly on GPU": 2, "tight": 1, "will not fit": 0}


@dataclass(frozen=True)
class Offer:
    """A model of the catalogue, and what it would be like here."""

    entry: CatalogueEntry
    outlook: Outlook | None
    """None where the catalogue knows too little."""
    allowed: bool
    """Whether policy lets it be fetched and used, as far as that is known beforehand."""


class CatalogueService:
    """Searches the catalogue. All calls may come from any thread."""

    def __init__(  # noqa: PLR0917 - the rooms below it
        self,
        settings: Settings,
        policy: Policy,
        audit: Audit,
        speeds: Speeds,
        devices: Callable[[], Sequence[Device]],
        load: Callable[..., LoadedCatalogue] = catalogue_file.load,
    ) -> None:
        """``devices`` are those of a worker's `Ready`; they are asked for once. ``load`` is as
        `catalogue_file.load`."""
        self._settings = settings
        self._policy = policy
        self._audit = audit
        self._speeds = speeds
        self._ask_devices = devices
        self._load = load
        self._devices: Sequence[Device] | None = None
        self._loaded: LoadedCatalogue | None = None
        self._keys: tuple[str, ...] | None = None
        """Of which one must have signed what is loaded."""
        self._lock = threading.Lock()

    def loaded(self) -> LoadedCatalogue:
        """The catalogue that counts and what was wrong with another; read and verified at the first call.

        What was wrong is audited.
        """
        keys = self._policy.catalogue_keys
        if self._loaded is not None and self._keys == keys:
            return self._loaded
        # Nothing is asked of the store under the lock: the caller may be within a transaction.
        seen = self._seen()
        with self._lock:
            if self._loaded is not None and self._keys == keys:
                return self._loaded
            loaded = self._loaded = self._load(seen, date.today(), keys=keys)
            self._keys = keys
        after = catalogue_file.with_version(seen, loaded)
        if after != seen:
            self._settings.set(_SEEN, dict(after))
        if loaded.problems:
            body = {"source": loaded.source, "problems": list(loaded.problems)}
            self._audit.append(AuditEvent.CATALOGUE_REFUSED, loaded.issuer, body)
        return loaded

    def reload(self) -> LoadedCatalogue:
        """`loaded`, read anew: the organisation's file may have changed."""
        with self._lock:
            self._loaded = None
        return self.loaded()

    def offers(
        self,
        wanted: Wanted = _ANY,
        *,
        order: SortKey = "catalogue",
        fits: bool = False,
        context_length: int = 0,
    ) -> list[Offer]:
        """The models that are ``wanted``, each with its outlook now; ``fits``: only those that fit.

        ``context_length``: tokens; 0 for the longest that is sensible.
        """
        memory = self._memory()
        offers = {
            entry.id: self._offer(entry, memory, context_length)
            for entry in search(self.loaded().catalogue.entries, wanted)
        }
        if fits:
            offers = {name: offer for name, offer in offers.items() if _grade(offer) > 0}
        ordered = sort(
            [offer.entry for offer in offers.values()],
            order,
            speed=lambda entry: _speed(offers[entry.id]),
            fit=lambda entry: _grade(offers[entry.id]),
        )
        return [offers[entry.id] for entry in ordered]

    def offer(self, entry: CatalogueEntry, context_length: int = 0) -> Offer:
        """What ``entry`` would be like here now."""
        return self._offer(entry, self._memory(), context_length)

    def recommended(self, language: str = "") -> Offer | None:
        """The model for whoever does not want to choose (see `outlook.recommend`); None where none fits."""
        memory = self._memory()
        offers = {
            entry.id: self._offer(entry, memory, 0)
            for entry in self.loaded().catalogue.entries
            if entry.kind == "chat"
        }
        allowed = [offer.entry for offer in offers.values() if offer.allowed]
        chosen = recommend(allowed, lambda entry: offers[entry.id].outlook, language=language)
        return offers[chosen.id] if chosen else None

    def sampling_of(self, sha256: str) -> dict[str, float]:
        """What the publisher recommends for the model of that hash, by name; empty where unknown."""
        entry = self.loaded().catalogue.by_sha256(sha256)
        values = entry.sampling if entry else {}
        return {name: int(value) if name in _WHOLE else value for name, value in values.items()}

    def _offer(self, entry: CatalogueEntry, memory: Memory, context_length: int) -> Offer:
        expected = outlook(
            entry,
            memory,
            bandwidth=self._speeds.bandwidth,
            measured=self._speeds.measured(entry.files[0].sha256),
            context_length=context_length,
        )
        return Offer(entry, expected, allowed=self._allows(entry))

    def _allows(self, entry: CatalogueEntry) -> bool:
        licence = (entry.licence.spdx or entry.licence.name).lower()
        first = entry.files[0].sha256
        try:
            self._policy.require_pull(entry.repository, licence=licence, from_catalogue=True)
        except PolicyRefused:
            return False
        return first is None or self._policy.allows_model(first)

    def _memory(self) -> Memory:
        if self._devices is None:
            self._devices = self._ask_devices()
        return live_memory(self._devices)

    def _seen(self) -> dict[str, int]:
        kept = self._settings.get(_SEEN)
        if not isinstance(kept, dict):
            return {}
        return {issuer: version for issuer, version in kept.items() if isinstance(version, int)}


def _speed(offer: Offer) -> float:
    return offer.outlook.speed.tokens_per_second if offer.outlook and offer.outlook.speed else 0.0


def _grade(offer: Offer) -> int:
    return _GRADES[offer.outlook.fit.grade] if offer.outlook else -1
