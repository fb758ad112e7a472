"""Opens Office files that are encrypted with a password (MS-OFFCRYPTO: an OLE container around a package)."""

import io
import re

import olefile
from msoffcrypto.exceptions import DecryptionError, FileFormatError, InvalidKeyError, ParseError
from msoffcrypto.format.ooxml import OOXMLFile

from localai_app.documents.readers.archive import damaged
from localai_app.documents.readers.refused import ReadRefused

_NOBODYS_PASSWORD = "VelvetSweatshop"  # noqa: S105 - Excel's own, for read-only workbooks that all may open
_AGILE = b"\x04\x00\x04\x00"
"""Version of the kind of header that is XML."""
_MAX_ROUNDS = 2_000_000
"""Of the key's derivation: some seconds. Office takes 100,000; the format allows 10,000,000."""
_MAX_HEADER = 64 * 1024
_ROUNDS = re.compile(rb"spinCount\s*=\s*[\"']\s*(\d{1,20})")


def decrypted(data: bytes, password: str) -> bytes:
    """The package inside; raise `ReadRefused` without the key."""
    _check_header(data)
    package = io.BytesIO()
    try:
        file = OOXMLFile(io.BytesIO(data))
        file.load_key(password=password or _NOBODYS_PASSWORD, verify_password=True)
        file.decrypt(package)
    except InvalidKeyError as error:
        if not password:
            raise ReadRefused(
                "password", "The file is protected with a password.", "Enter the password to read it."
            ) from error
        raise ReadRefused("wrong_password", "The password is wrong.", "Enter it again.") from error
    except (DecryptionError, FileFormatError, ParseError) as error:
        raise ReadRefused(
            "format",
            "The file is protected in a way that cannot be opened here.",
            "Open it in Office, remove the protection (File › Info), save it, and add that.",
        ) from error
    except Exception as error:  # the library answers damage with whatever comes first
        raise damaged() from error
    return package.getvalue()


def _check_header(data: bytes) -> None:
    """The library expands entities of the header, and derives the key in as many rounds as it says."""
    try:
        with olefile.OleFileIO(io.BytesIO(data)) as container:
            header = container.openstream("EncryptionInfo").read(_MAX_HEADER + 1)
    except Exception as error:
        raise damaged() from error
    if len(header) > _MAX_HEADER:
        raise damaged()
    if header.startswith(_AGILE):
        xml = header[8:].replace(b"\0", b"")
        if b"<!" in xml or any(int(count) > _MAX_ROUNDS for count in _ROUNDS.findall(xml)):
            raise damaged()
