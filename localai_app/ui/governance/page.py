"""The Organisation page: policy in force, protection of the data, connections, audit log."""

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QTabBar, QVBoxLayout, QWidget

from localai_app.ui.governance.audit_log import AuditLog
from localai_app.ui.governance.ledger import Ledger
from localai_app.ui.governance.policy_list import PolicyList
from localai_app.ui.governance.protection import Protection
from localai_app.ui.governance.rooms import GovernanceRooms
from localai_app.ui.jobs import Jobs
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.labels import label
from localai_app.ui.widgets.padlock import Locks
from localai_app.ui.widgets.toast import Toast

_COLUMN = 820
"""Design pixels that the text of policy and protection is wide at most."""
_PROTECTION = 1
"""Number of its tab."""


class OrganisationPage(QWidget):
    """Follows policy while it is open."""

    def __init__(
        self, theme: Theme, jobs: Jobs, rooms: GovernanceRooms, locks: Locks, toast: Callable[[], Toast]
    ) -> None:
        super().__init__()
        self._theme = theme
        self.setProperty("look", "page")
        self.policy = PolicyList(theme, rooms.policy)
        self.protection = Protection(theme, jobs, rooms)
        self.ledger = Ledger(theme, jobs, rooms, locks)
        self.audit = AuditLog(theme, jobs, rooms, locks, toast)
        self.tabs = QTabBar()
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self.tabs.setAccessibleName(self.tr("What is shown of the organisation"))
        for title in (
            self.tr("Policy"),
            self.tr("Protection"),
            self.tr("Connections"),
            self.tr("Audit log"),
        ):
            self.tabs.addTab(title)
        self._parts = (_at_left(self.policy), _at_left(self.protection), self.ledger, self.audit)
        inside = QWidget()
        inside.setProperty("look", "plain")
        self._column = QVBoxLayout(inside)
        self._column.addWidget(label(self.tr("Organisation"), "title"))
        self._column.addWidget(self.tabs)
        for part in self._parts:  # no stack: it would be as high as the highest of them
            self._column.addWidget(part, 1 if part in (self.ledger, self.audit) else 0)
        self._column.addStretch(0)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(inside)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)
        self.tabs.currentChanged.connect(self._show_tab)
        locks.changed.connect(self._follow)
        theme.changed.connect(self._fit)
        self._fit()
        self._show_tab(0)

    def focus_first(self) -> None:
        """Begin at the tabs."""
        self.tabs.setFocus(Qt.FocusReason.OtherFocusReason)

    def _show_tab(self, index: int) -> None:
        for number, part in enumerate(self._parts):
            part.setVisible(number == index)
        if index == _PROTECTION:
            self.protection.refresh()

    def _follow(self) -> None:
        """Policy is different now."""
        self.policy.refresh()
        if self.tabs.currentIndex() == _PROTECTION:
            self.protection.refresh()

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(24), px(18), px(24), px(18))
        self._column.setSpacing(px(12))
        for part in (self.policy, self.protection):
            part.setMaximumWidth(px(_COLUMN))


def _at_left(part: QWidget) -> QWidget:
    """``part`` in a holder that is as high as it needs at its own width, not at the page's."""
    holder = QWidget()
    row = QHBoxLayout(holder)
    row.setContentsMargins(0, 0, 0, 0)
    row.addWidget(part, 1000)
    row.addStretch(1)
    return holder
