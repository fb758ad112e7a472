"""Rows of the store as values of runs; no SQL."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

from localai_app.store.database import Row
from localai_app.tasks.run import Item, ItemCost, ItemState, ModelUsed, Run, RunSettings, RunState
from localai_app.tasks.task import Column, Coverage, Decision, Outcome, TaskKind, Verdict

_T = TypeVar("_T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LostOptions(msgspec.Struct, frozen=True):
    """Options of a run that another version of the app wrote: its results can be read, no more."""


def run_of(row: Row, kind: TaskKind | None, *, abandoned: bool) -> Run:
    """A run with its counts; one whose process has died waits."""
    settings = msgspec.json.decode(row["settings"], type=dict[str, bool])
    state = RunState(row["state"])
    return Run(
        id=row["id"],
        kind=row["kind"],
        title=row["title"],
        where=_where(row["place"], row["first_name"], row["documents"]),
        options=_options(row["options"], kind),
        columns=msgspec.json.decode(row["columns"], type=tuple[Column, ...]),
        settings=RunSettings(
            deterministic=settings.get("deterministic", False),
            not_before=_moment(row["not_before"]),
            keep_awake=settings.get("keep_awake", True),
        ),
        state=RunState.WAITING if abandoned and state is RunState.RUNNING else state,
        created=_EPOCH + timedelta(microseconds=row["created"]),
        finished=_moment(row["finished"]),
        model=_decoded(row["model"], ModelUsed),
        fingerprint=row["fingerprint"],
        notice=row["notice"],
        documents=row["documents"],
        done=row["done"],
        failed=row["failed"],
        to_review=row["to_review"],
        trashed=_moment(row["trashed"]),
    )


def item_of(row: Row, decisions: Sequence[Decision]) -> Item:
    """A document of a run."""
    return Item(
        id=row["id"],
        run_id=row["run_id"],
        document_id=row["document_id"],
        document_name=row["document_name"],
        sha256=row["sha256"],
        state=ItemState(row["state"]),
        attempts=row["attempts"],
        error=row["error"],
        outcome=_decoded(row["outcome"], Outcome),
        coverage=_decoded(row["coverage"], Coverage),
        cost=_decoded(row["cost"], ItemCost) or ItemCost(),
        model=_decoded(row["model"], ModelUsed),
        prompts_sha256=row["prompts_sha256"],
        decisions=tuple(decisions),
        finished=_moment(row["finished"]),
    )


def decision_of(row: Row) -> Decision:
    """A person's decision."""
    made = _EPOCH + timedelta(microseconds=row["made"])
    return Decision(row["key"], Verdict(row["verdict"]), row["value"], row["who"], made.isoformat())


def json_of(value: object) -> str:
    """``value`` as it is kept."""
    return msgspec.json.encode(value).decode()


def _options(raw: str, kind: TaskKind | None) -> msgspec.Struct:
    if kind is None:
        return LostOptions()
    try:
        return msgspec.json.decode(raw, type=kind.options)
    except msgspec.DecodeError:
        return LostOptions()


def _where(place: str, name: str | None, documents: int) -> str:
    """“Invoices November · 186 documents”; a single document by its name, while that is there."""
    counted = name if documents == 1 and name else f"{documents:,} document{'' if documents == 1 else 's'}"
    return f"{place} · {counted}" if place else counted


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)


def _decoded(raw: str | None, kind: type[_T]) -> _T | None:
    return None if raw is None else msgspec.json.decode(raw, type=kind)
