"""Extract: the fields of a schema out of each document, every value with the words of the page it rests on.

All pages are read in windows. Of each window the model copies what it gives for the fields
(`extraction.prompting`); what it wrote is looked up on the page (`extraction.values`), and what stands
nowhere is dropped and counted, never shown as a value. What was found in all windows is put together
(`extraction.combining`): where it differs, the model is shown each place and asked again, and the conflict
stays visible. Figures that must add up are added up (`extraction.sums`).

An answer that was cut off is asked for again with each half of its window; where that is cut off as well, its
pages are among those that were not read, with the reason.
"""

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from localai_app.documents.exhaustive import Window
from localai_app.errors import UsageError
from localai_app.tasks.extraction import field_schema, fields, prompting, templates
from localai_app.tasks.extraction.combining import Combiner, Rival, rivals
from localai_app.tasks.extraction.fields import Field
from localai_app.tasks.extraction.prompting import Group
from localai_app.tasks.extraction.sums import with_sums
from localai_app.tasks.extraction.values import Candidate, Row, Values
from localai_app.tasks.injection import flags
from localai_app.tasks.task import Chosen, Column, Cost, Finding, Outcome, Output, Source, Step, Work

_MOST_CHECKED = 8
"""Values of one field that the model is asked about again."""
_CHECK_TOKENS = 200
_INSTRUCTION_TOKENS = 260
_LABEL_CHARACTERS = 4
"""Of a token, roughly."""


class ExtractOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to look for: fields, or a template, or a JSON Schema."""

    fields: tuple[Field, ...] = ()
    template: str = ""
    """The name of one of `templates`, instead of fields."""
    schema: dict[str, Any] | None = None
    """A JSON Schema of an object, instead of fields."""
    title: str = ""
    """What people call it; empty: the template's, else the fields' names."""


class Extract:
    """The kind ``extract``."""

    name = "extract"
    title = "Extract"
    description = "Fields such as dates, amounts and names, each with the words it rests on"
    options: type[msgspec.Struct] = ExtractOptions

    def check(self, options: ExtractOptions) -> None:
        """Raise `UsageError` where there are no fields, or such that cannot be worked with."""
        given = [name for name in ("fields", "template", "schema") if getattr(options, name)]
        if len(given) > 1:
            raise UsageError(f"Both {given[0]} and {given[1]} are given.", "Give one of them.")
        fields.check(fields_of(options))

    def label(self, options: ExtractOptions) -> str:
        """“Invoice”."""
        if options.title:
            return options.title
        if options.template:
            return templates.template(options.template).title
        names = [field.name for field in fields_of(options)]
        more = f" and {len(names) - 3} more" if len(names) > 4 else ""
        return ", ".join(names[:3] if more else names) + more

    def columns(self, options: ExtractOptions) -> tuple[Column, ...]:
        """One for each field."""
        return tuple(field.column for field in fields_of(options))

    def fingerprint(self, options: ExtractOptions) -> str:
        """Over all that the steps are made with but the document."""
        wanted = fields_of(options)
        made = [prompting.INSTRUCTION, prompting.CHECK, field_schema.written(wanted).decode()]
        for group in prompting.groups(wanted):
            made += [prompting.question(group), field_schema.answer_schema(group)]
        return hashlib.sha256("\0".join(made).encode()).hexdigest()

    def cost(self, tokens: int, window: int, options: ExtractOptions) -> Cost:
        """Windows times groups of fields, and some values that are checked."""
        wanted = fields_of(options)
        groups = prompting.groups(wanted)
        count = max(-(-tokens // window), 1) if tokens else 0
        asked = sum(len(prompting.question(group)) // _LABEL_CHARACTERS for group in groups)
        checks = min(count - 1, 2) * sum(not field.is_list for field in wanted) if count > 1 else 0
        read = _INSTRUCTION_TOKENS + tokens + count * asked + checks * _CHECK_TOKENS
        written = count * sum(map(prompting.usual_tokens, groups)) + checks
        return Cost(count * len(groups) + checks, read, written)

    def work(self, source: Source, options: ExtractOptions) -> Work:
        """Copy from every window, ask again about what differs, put it together."""
        return _Extraction(source, fields_of(options)).work()


def fields_of(options: ExtractOptions) -> tuple[Field, ...]:
    """The fields that ``options`` name, in any of the three ways; raise `UsageError`."""
    if options.template:
        return templates.template(options.template).fields
    if options.schema is not None:
        return field_schema.from_json_schema(options.schema)
    return options.fields


@dataclass(frozen=True)
class _Asked:
    window: Window
    group: Group


class _Extraction:
    """What comes of one document."""

    def __init__(self, source: Source, wanted: Sequence[Field]) -> None:
        self._source = source
        self._fields = wanted
        self._values = Values(source)
        self._found: dict[str, list[Candidate]] = {field.key: [] for field in wanted}
        self._rows: dict[str, list[Row]] = {field.key: [] for field in wanted}
        self._unread: dict[int, str] = {}

    def work(self) -> Work:
        groups, windows = prompting.groups(self._fields), self._source.windows()
        yield from self._read([_Asked(window, group) for window in windows for group in groups])
        for field in self._fields:
            if not field.is_list and not self._found[field.key]:
                self._found[field.key] = self._values.by_form(field, windows)
        ranked = {field.key: rivals(self._found[field.key]) for field in self._fields if not field.is_list}
        yield from self._ask_again(ranked)
        suspicious = flags(self._source)
        combiner = Combiner(self._source, suspicious)
        findings = [finding for field in self._fields for finding in self._of(field, ranked, combiner)]
        return Outcome(
            findings=tuple(with_sums(self._fields, findings)),
            unread=tuple(sorted(self._unread.items())),
            flags=suspicious,
            claims=self._values.dropped,
        )

    def _of(self, field: Field, ranked: dict[str, list[Rival]], combiner: Combiner) -> list[Finding]:
        if field.parts:
            return combiner.rows(field, self._rows[field.key])
        if field.is_list:
            return combiner.several(field, self._found[field.key])
        return [combiner.single(field, ranked[field.key])]

    # ------------------------------------------------------------ reading

    def _read(self, asked: Sequence[_Asked]) -> Generator[Sequence[Step], Sequence[Output], None]:
        """Read all windows in one round, and in a second one the halves of those that were cut off."""
        for is_last in (False, True):
            if not asked:
                return
            outputs = yield [prompting.step(one.window, one.group, self._source) for one in asked]
            again: list[_Asked] = []
            for one, output in zip(asked, outputs, strict=True):
                said = prompting.answer(output)
                if said is not None:
                    self._take(one, said)
                elif is_last or len(halves := prompting.halves(one.window)) == 1:
                    self._leave_unread(one)
                else:
                    again += [_Asked(half, one.group) for half in halves]
            asked = again

    def _take(self, asked: _Asked, said: dict[str, Any]) -> None:
        for field in asked.group:
            if field.parts:
                self._rows[field.key] += self._values.rows(field, said.get(field.key), asked.window)
            else:
                self._found[field.key] += self._values.of(field, said.get(field.key), asked.window)

    def _leave_unread(self, asked: _Asked) -> None:
        names = ", ".join(field.name for field in asked.group[:3]) + (", …" if len(asked.group) > 3 else "")
        for passage in asked.window:
            self._unread.setdefault(passage.page, f"the model came to no end with {names}")

    # ------------------------------------------------------------ asking again

    def _ask_again(self, ranked: dict[str, list[Rival]]) -> Generator[Sequence[Step], Sequence[Output], None]:
        """Show the model each of several values of a field in its place; rank them anew by what it says."""
        doubtful = [rival for found in ranked.values() if len(found) > 1 for rival in found[:_MOST_CHECKED]]
        doubtful = [rival for rival in doubtful if rival.best.evidence.verified]
        if not doubtful:
            return
        outputs = yield [prompting.check_step(rival.best) for rival in doubtful]
        for rival, output in zip(doubtful, outputs, strict=True):
            assert isinstance(output, Chosen), "a Choose comes to Chosen"
            rival.affirmed = prompting.affirmed(rival.best, output.log_probabilities)
        for found in ranked.values():
            # Those that were not asked about stay behind: they were the less likely before.
            asked = [rival for rival in found if rival.affirmed is not None]
            rest = [rival for rival in found if rival.affirmed is None]
            found[:] = [*sorted(asked, key=lambda rival: -rival.weight), *rest]
