"""The minisign keys that sign what the app ships: the catalogue, engine packs, releases.

A secret key never lies in the repository: it is the file that ``LOCALAI_APP_NAME_KEY`` names, else
``NAME.key`` in the folder ``localai-app-release`` of the user's configuration. A passphrase for it comes from
``LOCALAI_APP_NAME_PASSPHRASE``.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from minisign import Error, KeyPair, PublicKey, SecretKey


@dataclass(frozen=True)
class SigningKey:
    """One of the keys, by what it signs."""

    name: str
    """``catalogue``, ``engine``."""
    made_by: str
    """The command that makes one, for a person."""

    @property
    def path(self) -> Path:
        """Where the secret key lies."""
        named = os.environ.get(f"LOCALAI_APP_{self.name.upper()}_KEY")
        folder = platformdirs.user_config_path("localai-app-release")
        return Path(named) if named else folder / f"{self.name}.key"

    @property
    def passphrase(self) -> str:
        """What opens it; empty for none."""
        return os.environ.get(f"LOCALAI_APP_{self.name.upper()}_PASSPHRASE", "")

    def make(self, secret: Path, public: Path) -> None:
        """Make a key pair; an existing secret key is never replaced."""
        if secret.exists():
            raise SystemExit(f"error: {secret} is there already; move it away to begin anew.")
        pair = KeyPair.generate()
        if self.passphrase:
            pair.secret_key.encrypt(self.passphrase)
        secret.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(bytes(pair.secret_key) + b"\n")
        public.write_bytes(bytes(pair.public_key) + b"\n")
        sys.stderr.write(f"==> The secret key is {secret}. Keep it, and keep it out of the repository.\n")

    def sign(self, data: bytes, comment: str, secret: Path, public: Path) -> bytes:
        """The signature of ``data`` as a file; ``public`` must be the half of the key that people have."""
        try:
            key = SecretKey.from_bytes(secret.read_bytes())
        except OSError as error:
            raise SystemExit(
                f"error: there is no signing key {secret} ({error.strerror}); {self.made_by} makes one."
            ) from None
        try:
            key.decrypt(self.passphrase)
        except Error as error:
            raise SystemExit(f"error: the signing key {secret} cannot be used: {error}.") from None
        if PublicKey.from_bytes(public.read_bytes()) != PublicKey.from_secret_key(key):
            raise SystemExit(f"error: {public} belongs to another key than {secret}.")
        return bytes(key.sign(data, trusted_comment=comment)) + b"\n"
