"""Damaged documents without end, the same for the same seed."""

import io
import random
import zipfile
import zlib
from collections.abc import Iterator, Mapping

_BITES = (
    *(b"\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0" * 64, b"<", b">", b"]]>", b"<!--", b"<![CDATA["),
    *(
        b"<!DOCTYPE x [<!ENTITY a 'b'>]>",
        b"&a;",
        b"{",
        b"}",
        b"\\bin99999999 ",
        b"\\u-1?",
        b"\\par" * 50,
        b"%s%n",
    ),
    *(b"9" * 30, b"-1", b"1e999", b"65536 0 R", b"/Kids[1 0 R]", b"/Length 99999999", b"stream\n", b"endobj"),
    *(
        b"PK\x05\x06" + bytes(18),
        b"\xed\xa0\x80",
        b"\xe2\x80\xae",
        b"\n" * 300,
        b'"' * 9,
        b"--b\n",
        b"=?utf-8?b?",
    ),
)


def mutated(originals: Mapping[str, bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield ``count`` damaged copies of ``originals``, with the names of what they were made of."""
    chance = random.Random(seed)
    names = sorted(originals)
    for number in range(count):
        name = names[number % len(names)]
        data = originals[name]
        if data.startswith(b"PK") and chance.random() < 0.7:
            data = _inside_archive(data, chance)
        elif name.endswith(".pdf") and chance.random() < 0.3:
            data = _inside_stream(data, chance)
        else:
            data = _damaged(data, chance)
        yield name, data


def _damaged(data: bytes, chance: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        if not made:
            break
        place = chance.randrange(len(made))
        length = chance.choice((1, 2, 8, 64, 1024))
        kind = chance.randrange(7)
        if kind == 0:
            made[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            made[place : place + length] = chance.randbytes(length)
        elif kind == 2:
            del made[place : place + length]
        elif kind == 3:
            made[place:place] = made[place : place + length] * chance.choice((1, 2, 50))
        elif kind == 4:
            made[place:place] = chance.choice(_BITES)
        elif kind == 5:
            other = chance.randrange(len(made))
            made[place : place + length], made[other : other + length] = (
                made[other : other + length],
                made[place : place + length],
            )
        elif chance.random() < 0.2:
            del made[place:]
    return bytes(made)


def _inside_archive(data: bytes, chance: random.Random) -> bytes:
    """One of the entries is damaged, and packed as if nothing were."""
    made = io.BytesIO()
    try:
        with (
            zipfile.ZipFile(io.BytesIO(data)) as source,
            zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as out,
        ):
            victim = chance.choice(source.namelist())
            for entry in source.namelist():
                content = source.read(entry)
                made_of = _damaged(content, chance) if entry == victim else content
                # With a time of its own: the present one differs from run to run.
                out.writestr(zipfile.ZipInfo(entry), made_of, zipfile.ZIP_DEFLATED)
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        EOFError,
        IndexError,
        ValueError,
    ):
        return _damaged(data, chance)
    return made.getvalue()


def _inside_stream(data: bytes, chance: random.Random) -> bytes:
    """What one stream of a PDF unpacks to is damaged."""
    starts = [place for place in range(len(data)) if data.startswith(b"stream\n", place)][:200]
    if not starts:
        return _damaged(data, chance)
    start = chance.choice(starts) + 7
    end = data.find(b"endstream", start)
    if end < 0:
        return _damaged(data, chance)
    try:
        content = zlib.compress(_damaged(zlib.decompress(data[start:end].strip()), chance))
    except zlib.error:
        content = _damaged(data[start:end], chance)
    return data[:start] + content + b"\n" + data[end:]
