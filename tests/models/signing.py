"""Catalogues for tests, signed with keys of their own."""

import json
from pathlib import Path
from typing import Any

from minisign import KeyPair, SecretKey

from localai_app.models.catalogue_file import FILE, KEY, SIGNATURE


def entry(**changes: Any) -> dict[str, Any]:
    """A good entry: Llama 3.2 3B."""
    value: dict[str, Any] = {
        "id": "llama-3.2-3b",
        "name": "Llama 3.2 3B Instruct",
        "family": "Llama",
        "kind": "chat",
        "repository": "bartowski/Llama-3.2-3B-Instruct-GGUF",
        "revision": "5ab33fa94d1d04e903623ae72c95d1696f09f9e8",
        "files": [
            {"name": "Llama-3.2-3B-Instruct-Q4_K_M.gguf", "size": 2_019_377_696, "sha256": "a" * 64},
        ],
        "quantisation": "Q4_K_M",
        "parameters": 3_212_700_000,
        "context_length": 131_072,
        "licence": {"name": "Llama 3.2 Community License", "commercial": "conditions"},
        "languages": ["en", "de"],
        "abilities": ["tools"],
        "sampling": {"temperature": 0.6},
        "shape": {"layers": 28, "kv_heads": 8, "head_length": 128},
    }
    return {name: part for name, part in (value | changes).items() if part is not None}


def document(*models: dict[str, Any], **changes: Any) -> bytes:
    """A catalogue file of these entries."""
    head = {"schema": 1, "version": 3, "published": "2026-11-01", "expires": "2027-11-01"}
    return json.dumps(head | {"models": list(models)} | changes).encode()


def write_signed(folder: Path, data: bytes, key: SecretKey | None = None, *, mode: int = 0o755) -> SecretKey:
    """Put a signed catalogue into ``folder``; the key that signed it."""
    key = key or KeyPair.generate().secret_key
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(mode)
    (folder / FILE).write_bytes(data)
    (folder / SIGNATURE).write_bytes(bytes(key.sign(data)))
    (folder / KEY).write_bytes(bytes(key.get_public_key()))
    for name in (FILE, SIGNATURE, KEY):
        (folder / name).chmod(0o644)
    return key
