"""The one way in which a reader says that a file cannot be read."""

from typing import Literal

from localai_app.documents.reading import Refused

Code = Literal["password", "wrong_password", "format", "broken", "limit", "empty"]


class ReadRefused(Exception):
    """The file cannot be read; ``refused`` is what the app is told."""

    def __init__(self, code: Code, message: str, hint: str) -> None:
        """``message`` says in one line what is wrong, ``hint`` what to do; neither quotes the file."""
        super().__init__(message)
        self.refused = Refused(code, message, hint)
