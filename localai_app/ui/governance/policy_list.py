"""What policy is in force: a row for each key, with its source, and what is wrong with it."""

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from localai_app.governance.policy import Policy
from localai_app.governance.policy_merge import InForce, Problem
from localai_app.governance.policy_words import (
    NOT_ENFORCED,
    TITLES,
    is_set,
    remedy,
    value_words,
    where_from,
)
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.check import Check
from localai_app.ui.widgets.labels import label, selectable

_MOST_ITEMS = 40
"""Items of a list that its tooltip shows."""


class PolicyRow(QFrame):
    """One key: its name and value, where the value comes from, and problems in red."""

    def __init__(self, theme: Theme, one: InForce, problems: Sequence[Problem]) -> None:
        super().__init__()
        self.name = one.key.name
        self.setProperty("look", "plain")
        words = value_words(one.key, one.value)
        self.value = selectable(label(words, "strong", wrap=True))
        self.value.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop)
        if isinstance(one.value, tuple) and one.value:
            self.value.setToolTip("\n".join(one.value[:_MOST_ITEMS]))
        top = QHBoxLayout()
        top.setSpacing(theme.px(16))
        top.addWidget(label(TITLES[one.key.name], "strong", wrap=True), 3)
        top.addWidget(self.value, 2)
        self.where = selectable(label(f"{one.key.name} · {where_from(one)}", "dim", wrap=True))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.px(3))
        column.addLayout(top)
        column.addWidget(label(one.key.means, "dim", wrap=True))
        column.addWidget(self.where)
        self.not_enforced: QLabel | None = None
        if not one.key.enforced and is_set(one):
            self.not_enforced = label(NOT_ENFORCED[0].upper() + NOT_ENFORCED[1:] + ".", "warn")
            column.addWidget(self.not_enforced)
        self.problems = [_problem(problem) for problem in problems]
        for shown in self.problems:
            column.addWidget(shown)


class PolicyList(QWidget):
    """All rows; keys that nobody set are shown on demand."""

    def __init__(self, theme: Theme, policy: Policy) -> None:
        super().__init__()
        self._theme, self._policy = theme, policy
        self.rows: list[PolicyRow] = []
        self.loose: list[QLabel] = []
        """Problems that belong to no key that there is."""
        self.summary = label("", wrap=True)
        self.all_keys = Check(theme, self.tr("Show the keys that are not set, too"))
        self.all_keys.toggled.connect(self.refresh)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addWidget(self.summary)
        self._column.addWidget(self.all_keys)
        self._held: QWidget | None = None
        theme.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show what is in force now."""
        in_force, problems = self._policy.in_force, self._policy.problems
        some = sum(is_set(one) for one in in_force)
        self.summary.setText(self._sum_up(some, len(problems)))
        wanted = [
            one
            for one in in_force
            if self.all_keys.isChecked() or is_set(one) or any(each.key == one.key.name for each in problems)
        ]
        names = {one.key.name for one in wanted}
        held = QWidget()
        column = QVBoxLayout(held)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(self._theme.px(8))
        self.loose = [_problem(problem) for problem in problems if problem.key not in names]
        if self.loose:
            self._card(column, self.tr("Problems"), self.loose)
        self.rows = []
        for group in dict.fromkeys(one.key.group for one in wanted):
            rows = [
                PolicyRow(self._theme, one, [each for each in problems if each.key == one.key.name])
                for one in wanted
                if one.key.group == group
            ]
            self._card(column, group, rows)
            self.rows += rows
        if self._held is not None:
            self._column.removeWidget(self._held)
            self._held.hide()
            self._held.deleteLater()
        self._held = held
        self._column.setSpacing(self._theme.px(10))
        self._column.addWidget(held)

    def _sum_up(self, some: int, problems: int) -> str:
        if not some and not problems:
            return self.tr("No administrator has set a policy on this computer: every key has its default.")
        said = self.tr("1 key is set.") if some == 1 else self.tr("{0} keys are set.").format(some)
        if problems:
            said += " " + (
                self.tr("1 problem was found in the sources.")
                if problems == 1
                else self.tr("{0} problems were found in the sources.").format(problems)
            )
        return said

    def _card(self, column: QVBoxLayout, title: str, rows: Sequence[QWidget]) -> None:
        px = self._theme.px
        column.addSpacing(px(4))
        column.addWidget(label(title.upper(), "section"))
        card = QFrame()
        card.setProperty("look", "card")
        inside = QVBoxLayout(card)
        inside.setContentsMargins(px(16), px(12), px(16), px(12))
        inside.setSpacing(px(10))
        for number, row in enumerate(rows):
            if number:
                rule = QFrame()
                rule.setProperty("look", "rule")
                inside.addWidget(rule)
            inside.addWidget(row)
        column.addWidget(card)


def _problem(problem: Problem) -> QLabel:
    return selectable(label(f"{problem.line} {remedy(problem)}", "bad", wrap=True))
