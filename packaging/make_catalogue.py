"""Build and sign the model catalogue that the app ships.

usage: make_catalogue.py             build resources/catalogue.json from packaging/catalogue/ and sign it
       make_catalogue.py --check     say whether resources/ holds what would be built, rightly signed
       make_catalogue.py --new-key   make a signing key, and put its public half into resources/

``packaging/catalogue/facts.json`` holds what was seen of each model, ``catalogue.toml`` which of them are
shipped. The signing key never lies in the repository (signing_keys.py): it is the file that
``LOCALAI_APP_CATALOGUE_KEY`` names, else ``catalogue.key`` in the folder ``localai-app-release`` of the
user's configuration. docs/catalogue.md says who holds which.
"""

import json
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from signing_keys import SigningKey

from localai_app.errors import CatalogueError
from localai_app.models import catalogue_file
from localai_app.models.catalogue import SCHEMA, Catalogue, parse
from localai_app.paths import resources

SIGNING_KEY = SigningKey("catalogue", "`make catalogue-key`")
SOURCE = Path(__file__).resolve().parent / "catalogue"
_ABILITIES = ("vision", "thinking", "tools")
_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "presence_penalty")

# The facts' own words for layers that differ, as numbers.
_LAYOUTS: dict[str, list[dict[str, Any]]] = {
    "8 full-attention layers (1 kv head x 512), 40 sliding-window-1024 layers (8 kv x 256)": [
        {"layers": 8, "kv_heads": 1, "head_length": 512},
        {"layers": 40, "kv_heads": 8, "head_length": 256, "windowed": True},
    ],
    "5 full-attention layers (2 kv x 512), 25 sliding-window layers (8 kv x 256)": [
        {"layers": 5, "kv_heads": 2, "head_length": 512},
        {"layers": 25, "kv_heads": 8, "head_length": 256, "windowed": True},
    ],
    "10 full-attention layers (4 kv x 512), 50 sliding-window layers (16 kv x 256)": [
        {"layers": 10, "kv_heads": 4, "head_length": 512},
        {"layers": 50, "kv_heads": 16, "head_length": 256, "windowed": True},
    ],
}
_LATENT = {"MLA: 576-dim latent per token per layer, no classic kv heads": 576}
_INFERRED = {
    "parameters_b": "parameters",
    "n_layers": "layers",
    "n_full_attention_layers": "attention_layers",
    "n_kv_heads": "kv_heads",
    "head_dim": "head_length",
    "context_length": "context_length",
}


def main(arguments: list[str]) -> None:
    """Do what ``arguments`` ask; a problem ends the process with one line."""
    if arguments == ["--new-key"]:
        make_key(SIGNING_KEY.path, resources() / catalogue_file.KEY)
    elif arguments == ["--check"]:
        check(resources(), SOURCE)
        say("The catalogue is what its sources make, and rightly signed.")
    elif not arguments:
        data = build(SOURCE)
        sign(data, resources(), SIGNING_KEY.path)
        say(f"{len(parse(data).entries)} models, version {parse(data).version}, signed.")
    else:
        raise SystemExit(__doc__)


def build(source: Path) -> bytes:
    """The catalogue of ``source`` as its file; raise `SystemExit` where an entry is not fit to be shipped."""
    facts = {fact["id"]: fact for fact in json.loads((source / "facts.json").read_text(encoding="utf-8"))}
    chosen = tomllib.loads((source / "catalogue.toml").read_text(encoding="utf-8"))
    unknown = [name for name in chosen["models"] if name not in facts]
    unknown += [name for name in chosen["recommended"] if name not in chosen["models"]]
    if unknown:
        raise SystemExit(f"error: catalogue.toml names {', '.join(unknown)}, which is not there.")
    document = {
        "schema": SCHEMA,
        "version": chosen["version"],
        "published": chosen["published"],
        "expires": chosen["expires"],
        "models": [
            entry(facts[name]) | ({"recommended": True} if name in chosen["recommended"] else {})
            for name in chosen["models"]
        ],
    }
    data = (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
    require_fit(parse(data))
    return data


def require_fit(catalogue: Catalogue) -> None:
    """Every entry is read as it was written, and may be shipped to a company; raise `SystemExit`."""
    problems = list(catalogue.dropped)
    for one in catalogue.entries:
        if one.revision is None and not one.files[0].sha256:
            problems.append(f"{one.id} has neither a revision nor a hash.")
        if one.licence.commercial in ("no", "unknown"):
            problems.append(f"{one.id} may not be used by companies, or nobody knows.")
        if one.size is None:
            problems.append(f"The size of {one.id} is unknown.")
    if problems:
        raise SystemExit("error: " + "\nerror: ".join(problems))


def entry(fact: dict[str, Any]) -> dict[str, Any]:
    """The catalogue's entry of a fact; what the fact does not know is left out."""
    parts = fact.get("parts") or [
        {"filename": fact["filename"], "size_bytes": fact.get("size_bytes"), "sha256": fact.get("sha256")}
    ]
    languages = fact.get("languages")
    value = {
        "id": fact["id"],
        "name": fact["name"],
        "family": fact["family"],
        "kind": "embedding" if "embedding" in fact["capabilities"] else "chat",
        "repository": fact["repo_id"],
        "revision": fact.get("revision"),
        "files": [
            known({"name": part["filename"], "size": part["size_bytes"], "sha256": part["sha256"]})
            for part in parts
        ],
        "quantisation": fact["quant"].removeprefix("QAT ").upper(),
        "parameters": elements(fact.get("parameters_b")),
        "active_parameters": elements(fact.get("active_parameters_b")),
        "context_length": fact.get("context_length"),
        "licence": licence(fact["licence"]),
        "languages": languages if isinstance(languages, list) else None,
        "languages_stated": languages if isinstance(languages, str) else None,
        "abilities": [ability for ability in _ABILITIES if ability in fact["capabilities"]],
        "sampling": known({name: fact.get("sampling", {}).get(name) for name in _SAMPLING}),
        "shape": shape(fact),
        "publisher": fact.get("publisher_kind"),
        "evidence": fact.get("evidence_grade"),
        "inferred": inferred(fact.get("inferred_fields", [])),
        "note": fact.get("doubts"),
    }
    return known(value)


def licence(fact: dict[str, Any]) -> dict[str, Any]:
    """A licence; one that is none of the usual open ones, yet allows commercial use, has conditions."""
    commercial = {None: "unknown", False: "no", "restricted": "conditions"}.get(fact["commercial_use"])
    if commercial is None:
        commercial = "yes" if fact.get("spdx") else "conditions"
    value = {name: fact.get(name) for name in ("name", "spdx", "url", "note")}
    return known({**value, "commercial": commercial})


def shape(fact: dict[str, Any]) -> dict[str, Any]:
    """What is known of the layers."""
    layout = fact.get("kv_layout", "")
    if layout and layout not in _LAYOUTS and layout not in _LATENT:
        raise SystemExit(f"error: the layout of {fact['id']} is not understood: {layout}")
    growth = fact.get("kv_bytes_per_1k_tokens")
    return known(
        {
            "layers": fact.get("n_layers"),
            "attention_layers": fact.get("n_full_attention_layers"),
            "kv_heads": fact.get("n_kv_heads"),
            "head_length": fact.get("head_dim"),
            "kv_bytes_per_token": growth // 1024 if growth else None,
            "groups": _LAYOUTS.get(layout),
            "latent_length": _LATENT.get(layout),
            "dimensions": fact.get("embedding_dims"),
        }
    )


def inferred(fields: Iterable[str]) -> list[str]:
    """Our names of the fields that were not seen but follow from something."""
    return [_INFERRED[text.partition(" ")[0]] for text in fields]


def elements(billions: float | None) -> int | None:
    """A number of parameters."""
    return None if billions is None else round(billions * 1e9)


def known(value: dict[str, Any]) -> dict[str, Any]:
    """``value`` without what is unknown or empty."""
    return {name: part for name, part in value.items() if part not in (None, "", [], {})}


# ---------------------------------------------------------------- signing


def make_key(secret: Path, public: Path) -> None:
    """Make a key pair; an existing secret key is never replaced."""
    SIGNING_KEY.make(secret, public)


def sign(data: bytes, folder: Path, secret: Path) -> None:
    """Write ``data`` as the catalogue of ``folder`` with its signature; ``folder`` has the public key."""
    comment = f"LocalAI App model catalogue, version {parse(data).version}"
    signature = SIGNING_KEY.sign(data, comment, secret, folder / catalogue_file.KEY)
    (folder / catalogue_file.FILE).write_bytes(data)
    (folder / catalogue_file.SIGNATURE).write_bytes(signature)


def check(folder: Path, source: Path) -> None:
    """Raise `SystemExit` when the catalogue of ``folder`` is not what ``source`` makes, or wrongly signed."""
    try:
        catalogue_file.read(folder)
    except CatalogueError as error:
        raise SystemExit(f"error: {error.line}") from None
    if (folder / catalogue_file.FILE).read_bytes() != build(source):
        raise SystemExit(
            "error: resources/catalogue.json is not what packaging/catalogue makes: make catalogue"
        )


def say(text: str) -> None:
    """Tell the person what happens."""
    sys.stderr.write(f"==> {text}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
