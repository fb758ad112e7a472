"""How the store's key is guarded, as the window tells it."""

from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication

from localai_app.paths import Paths, portable_folder


@dataclass(frozen=True)
class KeyGuard:
    """What stands between a copied folder and the chats in it."""

    words: str
    weak: bool
    """Whether copying files is enough to read the store."""


def key_guard(kind: str, paths: Paths) -> KeyGuard:
    """The guard of that ``kind`` (``os``, ``passphrase`` or ``file``) in words."""
    translate = QCoreApplication.translate
    if kind == "os":
        words = translate("Key", "The key lies in this computer's keystore and opens with your login.")
    elif kind == "passphrase":
        words = translate("Key", "The key is protected by your passphrase.")
    elif portable_folder() is not None:
        words = translate(
            "Key",
            "Weak key: it lies in a file beside the data, in {0}. Whoever finds this portable copy can read "
            "your chats.",
        ).format(paths.config)
    else:
        words = translate(
            "Key",
            "Weak key: it lies in a file in {0}. Anyone who copies that file and the data folder can "
            "read your chats.",
        ).format(paths.config)
    return KeyGuard(words, weak=kind == "file")
