"""``localai-app models catalogue``."""

import argparse
from typing import Any

from localai_app.cli.commands import Session, plain
from localai_app.errors import UsageError
from localai_app.models.catalogue import Wanted
from localai_app.models.catalogue_service import Offer
from localai_app.models.outlook import speed_words

_COMMERCIAL = {
    "yes": "",
    "no": " (not for companies)",
    "conditions": " (conditions)",
    "unknown": " (companies: unknown)",
}


def show_catalogue(session: Session, arguments: argparse.Namespace) -> int:
    """Models that can be got, how they would fit and how fast they would write."""
    if arguments.context < 0:
        raise UsageError("The context cannot be negative.", "0 lets the app choose.")
    wanted = Wanted(
        text=" ".join(arguments.words),
        families=tuple(arguments.family),
        abilities=tuple(arguments.ability),
        language=arguments.language,
        licence=arguments.licence,
        commercial=("yes", "conditions") if arguments.commercial else (),
        kind=arguments.kind,
    )
    with session.open() as app:
        loaded = app.catalogue.loaded()
        offers = app.catalogue.offers(
            wanted, order=arguments.sort, fits=arguments.fits, context_length=arguments.context
        )
        recommended = app.catalogue.recommended(arguments.language)
    best = recommended.entry.id if recommended else None
    for problem in loaded.problems:
        session.terminal.note(problem)
    if session.as_json:
        session.terminal.json(
            {
                "source": loaded.source,
                "version": loaded.catalogue.version,
                "published": loaded.catalogue.published.isoformat(),
                "expires": loaded.catalogue.expires.isoformat(),
                "problems": list(loaded.problems),
                "recommended": best,
                "models": [_described(offer) for offer in offers],
            }
        )
        return 0
    header = ("", "MODEL", "QUANT", "SIZE", "MEMORY", "FIT", "SPEED", "ABILITIES", "LICENCE")
    session.terminal.table(header, [_row(offer, best) for offer in offers])
    maker = {"organisation": "your organisation's", "shipped": "the app's own", "none": "no"}[loaded.source]
    session.terminal.note(
        f"{len(offers)} of {len(loaded.catalogue.entries)} models from {maker} catalogue, version "
        f"{loaded.catalogue.version} of {loaded.catalogue.published:%Y-%m-%d}. * suits this computer best. "
        "Memory and speed are estimates, unless marked “measured”; --json has everything."
    )
    return 0


def _row(offer: Offer, best: str | None) -> tuple[str, ...]:
    entry, outlook = offer.entry, offer.outlook
    fit = outlook.fit if outlook else None
    speed = outlook.speed if outlook else None
    return (
        "*" if entry.id == best else "",
        entry.name,
        entry.quantisation,
        _gb(entry.size) if entry.size else "?",
        _gb(fit.total) if fit else "?",
        ("forbidden" if not offer.allowed else fit.grade) if fit else "?",
        (speed_words(speed.tokens_per_second) + (" measured" if speed.measured else "")) if speed else "–",
        ", ".join((*(() if entry.kind == "chat" else (entry.kind,)), *entry.abilities)),
        f"{entry.licence.spdx or entry.licence.name}{_COMMERCIAL[entry.licence.commercial]}",
    )


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 95e6 else f"{size / 1e9:.2f} GB"


def _described(offer: Offer) -> dict[str, Any]:
    outlook = offer.outlook
    return {
        **plain(offer.entry),
        "size": offer.entry.size,
        "pinned": offer.entry.pinned,
        "allowed": offer.allowed,
        "fit": plain(outlook.fit) if outlook else None,
        "speed": plain(outlook.speed) if outlook and outlook.speed else None,
        "estimated": list(outlook.estimated) if outlook else [],
        "words": outlook.words if outlook else "The catalogue does not know its size.",
    }
