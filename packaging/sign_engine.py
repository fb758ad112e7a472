"""Sign an engine pack that build_engine.py made, so that the app loads it where an administrator put it.

usage: sign_engine.py FOLDER             write FOLDER/engine.json.minisig
       sign_engine.py --new-key          make the maker's signing key; its public half goes into resources/
       sign_engine.py --new-key PUBLIC   make an organisation's: it puts PUBLIC, as ``engine.pub``, into the
                                         app's folder of the organisation on its computers

The key that signs is the file that ``LOCALAI_APP_ENGINE_KEY`` names (signing_keys.py). Its public half lies
in resources/ or, for an organisation's, where ``LOCALAI_APP_ENGINE_PUBLIC`` says. What is signed is the list
of the pack's files and their hashes, which is checked against the files before.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

from signing_keys import SigningKey

from localai_app.engine.packs import KEY, MANIFEST, SIGNATURE
from localai_app.paths import resources

SIGNING_KEY = SigningKey("engine", "`packaging/sign_engine.py --new-key`")


def main(arguments: list[str]) -> None:
    """Do what ``arguments`` ask; a problem ends the process with one line."""
    public = Path(os.environ.get("LOCALAI_APP_ENGINE_PUBLIC") or resources() / KEY)
    match arguments:
        case ["--new-key"]:
            SIGNING_KEY.make(SIGNING_KEY.path, public)
        case ["--new-key", named]:
            SIGNING_KEY.make(SIGNING_KEY.path, Path(named))
        case [folder] if not folder.startswith("-"):
            sign(Path(folder), SIGNING_KEY.path, public)
        case _:
            raise SystemExit(__doc__)


def sign(folder: Path, secret: Path, public: Path) -> None:
    """Write the signature of the pack in ``folder``."""
    data = (folder / MANIFEST).read_bytes()
    manifest = json.loads(data)
    present = {path.name for path in folder.iterdir()} - {MANIFEST, SIGNATURE}
    if present != set(manifest["files"]):
        raise SystemExit(f"error: {folder} does not hold the files that its {MANIFEST} names.")
    for name, sha256 in manifest["files"].items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != sha256:
            raise SystemExit(f"error: {folder / name} is not the file that was built.")
    comment = f"LocalAI App engine pack {manifest['name']}, {manifest['system']}, {manifest['binding']}"
    (folder / SIGNATURE).write_bytes(SIGNING_KEY.sign(data, comment, secret, public))
    (folder / SIGNATURE).chmod(0o644)


if __name__ == "__main__":
    main(sys.argv[1:])
