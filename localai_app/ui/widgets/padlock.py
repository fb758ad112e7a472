"""Controls that the organisation's policy locks: disabled, with a padlock and a word about why.

What policy forbids is refused by the services, whatever the window shows; this says so beforehand.
"""

from collections.abc import Callable
from enum import Enum

from PySide6.QtCore import QCoreApplication, QEvent, QObject, QTimer, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QAbstractButton, QLineEdit, QMenu, QWidget

from localai_app.governance.policy import Policy
from localai_app.governance.policy_merge import InForce
from localai_app.governance.policy_schema import BLOCKED
from localai_app.ui.theme import Theme

_LOOK_MS = 2_000


class Lock(Enum):
    """What may be locked."""

    EXPORT = "content as files"
    AUDIT_EXPORT = "the audit log as a file"
    ERASE = "erasing"
    COPY = "text on the clipboard"
    KEY_GUARD = "a passphrase as the key's guard"
    HUB = "where models come from"
    PROXY = "the proxy"


_KEYS: dict[Lock, tuple[str, Callable[[Policy], bool]]] = {
    Lock.EXPORT: ("AllowExport", lambda policy: policy.allows_export),
    Lock.COPY: ("AllowClipboard", lambda policy: policy.allows_clipboard),
    Lock.ERASE: ("LegalHold", lambda policy: policy.allows_delete),
    Lock.KEY_GUARD: ("KeyStore", lambda policy: policy.allows_key_store("passphrase")),
    Lock.HUB: ("ModelSourceURL", lambda policy: not policy.model_source),
    Lock.PROXY: ("ProxyURL", lambda policy: not policy.proxy),
}
"""The key of policy that locks, and whether it leaves the control free."""


class Locks(QObject):
    """Which controls policy locks now."""

    changed = Signal()
    """Something about policy is different."""

    def __init__(self, theme: Theme, policy: Policy, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.theme, self.policy = theme, policy
        self._seen = self._facts()
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self.look)
        self._timer.start()

    def look(self) -> None:
        """Follow what policy says now: nobody may have asked it since an administrator changed it."""
        found = self._facts()
        if found != self._seen:
            self._seen = found
            self.changed.emit()

    def reason(self, lock: Lock) -> str:
        """Why a control is locked, for its tooltip; empty where it is not."""
        name = self._key(lock)
        if not name:
            return ""
        return QCoreApplication.translate("Padlock", "Managed by your organisation ({0})").format(
            ", ".join([name, *self._in_force(name).sources])
        )

    def hold(self, control: QAbstractButton | QLineEdit, lock: Lock) -> "Held":
        """Keep ``control`` as policy wants it from now on, as long as it lives."""
        return Held(self, control, lock)

    def mark(self, menu: QMenu, action: QAction, lock: Lock) -> None:
        """Lock an action of a menu that is about to open."""
        reason = self.reason(lock)
        if reason:
            menu.setToolTipsVisible(True)
            action.setEnabled(False)
            action.setIcon(self.theme.icon("lock"))
            action.setToolTip(reason)
            action.setWhatsThis(reason)

    def _key(self, lock: Lock) -> str:
        """The key of policy that locks; empty where none does."""
        if lock is Lock.AUDIT_EXPORT:
            if self._in_force("AuditExportPath").value == BLOCKED:
                return "AuditExportPath"
            return "" if self.policy.audit_folder else self._key(Lock.EXPORT)
        name, is_free = _KEYS[lock]
        return "" if is_free(self.policy) else name

    def _in_force(self, name: str) -> InForce:
        return next(one for one in self.policy.in_force if one.key.name == name)

    def _facts(self) -> tuple[object, ...]:
        return (*self.policy.in_force, *self.policy.problems)


class Held(QObject):
    """One control under a lock. A field stays readable; a button shows a padlock in place of its icon."""

    def __init__(self, locks: Locks, control: QAbstractButton | QLineEdit, lock: Lock) -> None:
        super().__init__(control)
        self._locks, self._control, self._lock = locks, control, lock
        self._wanted = control.isEnabled()
        self._tip, self._description = control.toolTip(), control.accessibleDescription()
        self._icon = control.icon() if isinstance(control, QAbstractButton) else None
        self._padlock: QAction | None = None
        self.reason = ""
        """Why it is locked; empty while it is not."""
        locks.changed.connect(self._apply)
        control.installEventFilter(self)
        self._apply()

    def enable(self, wanted: bool) -> None:
        """Whether the control would be of use now; a locked one stays disabled."""
        self._wanted = wanted
        if isinstance(self._control, QAbstractButton):
            self._control.setEnabled(wanted and not self.reason)

    def _apply(self) -> None:
        control, reason = self._control, self._locks.reason(self._lock)
        self.reason = reason
        self.enable(self._wanted)
        control.setToolTip(reason or self._tip)
        control.setAccessibleDescription(reason or self._description)
        padlock = self._locks.theme.icon("lock")
        if isinstance(control, QLineEdit):
            control.setReadOnly(bool(reason))
            if reason and self._padlock is None:
                self._padlock = control.addAction(padlock, QLineEdit.ActionPosition.TrailingPosition)
            if self._padlock is not None:
                self._padlock.setVisible(bool(reason))
                self._padlock.setToolTip(reason)
        elif self._icon is not None:
            control.setIcon(padlock if reason else self._icon)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep the reason in the tooltip where the control's owner sets another one."""
        if event.type() == QEvent.Type.ToolTipChange and isinstance(watched, QWidget):
            tip = watched.toolTip()
            if not self.reason:
                self._tip = tip
            elif tip != self.reason:
                self._tip = tip
                watched.setToolTip(self.reason)
        return False
