"""Checks an evidence record, and that quotations are verbatim, without a line of the app.

``python tests/tasks/independent_check.py RECORD.json [PAGES.json]``: says what is wrong, and exits with 1
where anything is. PAGES.json holds the text of the pages, ``{sha256 of the file: {"1": text, …}}``.
"""

import hashlib
import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Pages = Mapping[str, Mapping[str, str]]

_PURPOSE = "localai-app task evidence 1"
_SAME = str.maketrans(
    dict.fromkeys("‘’‚‛′`´", "'")
    | dict.fromkeys("“”„‟″«»", '"')
    | dict.fromkeys("‐‑‒–—−", "-")
    | dict.fromkeys("\u00ad\u200b\u2060\ufeff")
)


def plain(text: str) -> str:
    """``text`` with one form of quotation marks, hyphens, white space and compatible letters."""
    spaced = " ".join(unicodedata.normalize("NFKC", text.translate(_SAME)).split())
    return re.sub(r"(?<=\w)- (?=\w)", "", spaced).casefold()


def is_verbatim(quotation: str, page: str) -> bool:
    """Whether the words of ``quotation`` stand on the page one after another."""
    wanted = plain(quotation)
    return bool(wanted) and wanted in plain(page)


def not_verbatim(quotations: Iterable[tuple[int, str]], pages: Mapping[int, str]) -> list[tuple[int, str]]:
    """Those of (page number, quotation) that do not stand on their page."""
    return [(page, words) for page, words in quotations if not is_verbatim(words, pages.get(page, ""))]


def problems(data: bytes, pages: Pages | None = None, key: str | None = None) -> list[str]:
    """What is wrong with an evidence record; empty for nothing."""
    return [*_signed(data, key), *_quotations(json.loads(data)["record"], pages)]


def _signed(data: bytes, key: str | None) -> Iterable[str]:
    text = data.decode()
    content = json.loads(text)
    opened = '{"format":"localai-app task evidence 1","record":'
    if not text.startswith(opened):
        yield "it does not begin as a record does"
        return
    _, end = json.JSONDecoder().raw_decode(text, len(opened))
    digest = hashlib.sha256(text[len(opened) : end].encode()).hexdigest()
    signed = content["signed"]
    if not digest == content["sha256"] == signed["digest"]:
        yield "the content does not have the hash that was signed"
    parts = [_PURPOSE, digest, signed["seq"], signed["hash"], signed["time"], signed["key"]]
    statement = b"localai-app audit statement 1\0" + json.dumps(parts, separators=(",", ":")).encode()
    try:
        signer = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signed["key"]))
        signer.verify(bytes.fromhex(signed["signature"]), statement)
    except (InvalidSignature, ValueError):
        yield "the signature is not that of the content"
    if key is not None and signed["key"] != key:
        yield "it was signed with another key"


def _quotations(record: dict[str, Any], pages: Pages | None) -> Iterable[str]:
    for document in record["documents"]:
        covered = document["coverage"]
        if covered and covered["read"] + len(covered["unread"]) != covered["total"]:
            yield f"{document['name']}: read and not read are not all"
        for finding in document["findings"]:
            for proof in filter(lambda one: one["verified"], finding["evidence"]):
                place = f"{document['name']}, page {proof['page']}, “{proof['quotation']}”"
                if proof["end"] - proof["start"] != len(proof["quotation"]):
                    yield f"{place}: its place has another length"
                if pages is None:
                    continue
                page = pages.get(document["sha256"], {}).get(str(proof["page"]), "")
                if page[proof["start"] : proof["end"]] != proof["quotation"]:
                    yield f"{place}: other words stand at its place"
                if not is_verbatim(proof["quotation"], page):
                    yield f"{place}: it does not stand on the page"


def main(arguments: list[str]) -> int:
    """Say what is wrong; 1 where anything is."""
    record, *more = map(Path, arguments)
    pages = json.loads(more[0].read_text(encoding="utf-8")) if more else None
    found = problems(record.read_bytes(), pages)
    print("\n".join(found) or "Nothing is wrong.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
