"""Errors that a person is shown, each with what to do next.

The whole tree::

    LocalAIError                 one line: what is wrong; ``hint``: what to do
    ├── UsageError               the call's own words are off                    (exit code 2)
    ├── PolicyRefused            the organisation's policy forbids it            (exit code 3)
    ├── NotFound                 no conversation, message or model of that name
    ├── DocumentError            a document cannot be read, or shown as it is
    │   └── PasswordNeeded       it is encrypted
    ├── GgufError                the file is no GGUF model, or a broken one
    ├── PullFailed               a model cannot be fetched: the hub, the way to it, the disk, the file
    ├── CatalogueError           the model catalogue is not as its maker signed it, or out of date
    ├── StoreError               the encrypted store
    │   ├── KeyUnavailable       no key: a passphrase is needed or the key file is gone
    │   ├── WrongKey             the key does not open this store
    │   ├── StoreLocked          another process holds the store for too long
    │   ├── StoreReadOnly        the data folder cannot be written
    │   ├── DiskFull             no space left; nothing that was there is lost
    │   ├── NewerSchema          the store was written by a newer version
    │   └── StoreDamaged         a page fails its check
    └── EngineError              the worker that runs the model
        ├── ModelNotFound        the file is not there
        ├── ModelChanged         the file is not the one that was recorded
        ├── ModelLoadFailed      llama.cpp refuses the file, or memory is short
        ├── ContextOverflow      the conversation does not fit the context length
        ├── TemplateFailed       the model's chat template cannot be rendered
        ├── RequestFailed        the worker refused one request; the next may work
        └── EngineExited         the worker process ended; it is started again

Our own bugs are not in the tree: they are assertions and crash loudly; `report` tells of them.
"""

import sys
import traceback

from localai_app import __version__


class LocalAIError(Exception):
    """``str(error)`` says what is wrong in one line; ``hint`` says what to do about it."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def line(self) -> str:
        """What is wrong and what to do, in one line."""
        return f"{self} {self.hint}".strip()


class UsageError(LocalAIError):
    """The caller's words are off."""

    exit_code = 2


class AnotherModel(UsageError):
    """What was begun with one model would go on with another."""


class PolicyRefused(LocalAIError):
    """The organisation's policy forbids the act."""

    exit_code = 3


class NotFound(LocalAIError):
    """There is no such conversation, message or model."""


class GgufError(LocalAIError):
    """The file is no GGUF model, or a broken one."""


class DocumentError(LocalAIError):
    """A document cannot be read, or its pages cannot be shown."""


class PasswordNeeded(DocumentError):
    """The document is encrypted, and the password is missing or wrong."""


class CatalogueError(LocalAIError):
    """The model catalogue is not as its maker signed it, out of date, or no catalogue."""


class PullFailed(LocalAIError):
    """A model cannot be fetched; ``code`` as in ``models/hub_protocol.py``, or ``damaged`` or ``space``."""

    def __init__(self, message: str, hint: str = "", *, code: str = "") -> None:
        super().__init__(message, hint)
        self.code = code


class StoreError(LocalAIError):
    """The encrypted store cannot do what was asked."""


class KeyUnavailable(StoreError):
    """The key is not at hand: a passphrase is needed, or the key file or keystore is gone."""


class WrongKey(StoreError):
    """The key does not open this store."""


class StoreLocked(StoreError):
    """Another process holds the store."""


class StoreReadOnly(StoreError):
    """The data folder cannot be written."""


class DiskFull(StoreError):
    """No space is left on the device."""


class NewerSchema(StoreError):
    """The store was written by a newer version of the app."""


class StoreDamaged(StoreError):
    """A page of the store fails its check."""


class EngineError(LocalAIError):
    """The engine cannot do what was asked."""


class ModelNotFound(EngineError):
    """The model's file is not there."""


class ModelChanged(EngineError):
    """The model's file is not the one that was recorded; nobody has accepted that yet."""


class ModelLoadFailed(EngineError):
    """llama.cpp refuses the file, or memory is short."""


class ContextOverflow(EngineError):
    """``needed`` tokens do not fit the ``available`` tokens of context."""

    def __init__(self, message: str, hint: str = "", *, needed: int = 0, available: int = 0) -> None:
        super().__init__(message, hint)
        self.needed = needed
        self.available = available


class TemplateFailed(EngineError):
    """The model's chat template cannot be rendered."""


class RequestFailed(EngineError):
    """The worker refused one request."""


class EngineExited(EngineError):
    """The worker process ended; the next request starts it again."""


def report(error: BaseException) -> str:
    """Kind of error and where it happened. Its message is left out: it may quote what a person wrote."""
    lines = [f"LocalAI App {__version__}, Python {sys.version.split()[0]}, {sys.platform}"]
    seen: BaseException | None = error
    while seen is not None:
        lines.append(type(seen).__name__)
        for frame in traceback.extract_tb(seen.__traceback__):
            name = frame.filename.replace("\\", "/")
            lines.append(f"  {'/'.join(name.split('/')[-3:])}:{frame.lineno} in {frame.name}")
        seen = seen.__cause__
    return "\n".join(lines)
