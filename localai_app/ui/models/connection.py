"""How models are fetched: hub or mirror, proxy, access token. What policy sets is shown, not asked."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from localai_app.errors import LocalAIError
from localai_app.models.connection import HUGGING_FACE
from localai_app.ui.jobs import Jobs
from localai_app.ui.models.rooms import ModelRooms
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import label
from localai_app.ui.widgets.padlock import Lock, Locks


class ConnectionDialog(QDialog):
    """Nothing is connected to from here; what is saved holds for the next download or search."""

    def __init__(self, theme: Theme, parent: QWidget, jobs: Jobs, rooms: ModelRooms) -> None:
        super().__init__(parent)
        px = theme.px
        self._jobs, self._rooms = jobs, rooms
        self._kept: tuple[str, str] = ("", "")
        self.setWindowTitle(self.tr("How models are fetched"))
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(px(20), px(18), px(20), px(16))
        self._column.setSpacing(px(6))
        self._column.addWidget(label(self.tr("How models are fetched"), "title"))
        self._theme = theme
        locks = Locks(theme, rooms.policy, self)
        self.endpoint = self._field(
            self.tr("Hub or mirror"), self.tr("Empty: {0}").format(HUGGING_FACE), locks.reason(Lock.HUB)
        )
        locks.hold(self.endpoint, Lock.HUB)
        self.proxy = self._field(
            self.tr("Proxy"), self.tr("Empty: the system’s, if it has one"), locks.reason(Lock.PROXY)
        )
        locks.hold(self.proxy, Lock.PROXY)
        self.token = self._field(self.tr("Access token"), self.tr("For gated models; begins with hf_"))
        self.token.setEchoMode(QLineEdit.EchoMode.Password)
        self._token_note = label(
            self.tr("It is kept in the system’s keystore, and only the hub above ever sees it."),
            "dim",
            wrap=True,
        )
        self.forget = Button(theme, self.tr("Forget the token"), look="link")
        self.forget.hide()
        self.forget.clicked.connect(self._forget)
        self._column.addWidget(self._token_note)
        self._column.addWidget(self.forget, 0, Qt.AlignmentFlag.AlignLeft)
        self.wrong = label("", "bad", wrap=True)
        self.wrong.hide()
        self._column.addWidget(self.wrong)
        self.save = Button(theme, self.tr("Save"), look="primary")
        self.save.setDefault(True)
        self.save.setEnabled(False)
        self.save.clicked.connect(self._save)
        cancel = Button(theme, self.tr("Cancel"))
        cancel.clicked.connect(self.reject)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(cancel)
        foot.addWidget(self.save)
        self._column.addSpacing(px(8))
        self._column.addLayout(foot)
        self.setMinimumWidth(px(460))
        connection = rooms.connection
        # The keystore may ask the person something: not in the UI thread.
        job = jobs.run(
            lambda: (connection.endpoint, connection.proxy, connection.has_token), lane="connection"
        )
        # Methods, no functions: what comes after the dialog is closed finds nobody.
        job.returned.connect(self._show)
        job.failed.connect(self._fail)

    def _field(self, name: str, hint: str, fixed: str = "") -> QLineEdit:
        """``fixed`` says by whom it is set, where the person cannot."""
        field = QLineEdit()
        field.setAccessibleName(name)
        field.setPlaceholderText(hint)
        self._column.addSpacing(self._theme.px(6))
        self._column.addWidget(label(name))
        self._column.addWidget(field)
        if fixed:
            self._column.addWidget(label(f"{fixed}.", "dim", wrap=True))
        return field

    def _show(self, found: tuple[str, str, bool]) -> None:
        endpoint, proxy, has_token = found
        endpoint = "" if endpoint == HUGGING_FACE else endpoint
        self._kept = (endpoint, proxy)
        self.endpoint.setText(endpoint)
        self.proxy.setText(proxy)
        if has_token:
            self.token.setPlaceholderText(self.tr("One is kept; enter another to replace it"))
        self.forget.setVisible(has_token)
        self.save.setEnabled(True)

    def _save(self) -> None:
        connection, kept = self._rooms.connection, self._kept
        endpoint, proxy, token = self.endpoint.text(), self.proxy.text(), self.token.text()

        def save() -> None:
            if endpoint != kept[0]:
                connection.set_endpoint(endpoint)
            if proxy != kept[1]:
                connection.set_proxy(proxy)
            if token:  # after the endpoint: it is that one's
                connection.set_token(token)

        self.save.setEnabled(False)
        job = self._jobs.run(save, lane="connection")
        job.returned.connect(self.accept)
        job.failed.connect(self._fail)

    def _forget(self) -> None:
        job = self._jobs.run(lambda: self._rooms.connection.set_token(""), lane="connection")
        job.returned.connect(self._forgotten)
        job.failed.connect(self._fail)

    def _forgotten(self) -> None:
        self.forget.hide()
        self.token.setPlaceholderText(self.tr("For gated models; begins with hf_"))

    def _fail(self, error: LocalAIError) -> None:
        self.wrong.setText(error.line)
        self.wrong.show()
        self.save.setEnabled(True)
