"""Runs Windows programs on Linux: Wine 10 or newer, and what it lacks of Windows 10.

Two things are missing that the app's libraries look for when they load. Qt's text codecs name Windows' own
ICU (``icuuc.dll``): one whose converters never open stands in for it, and Qt falls back to its own. numpy
names the C library's complex numbers, of which Wine has stubs that abort: the parts of a number are put in
place of these. Both only in the folder that plays the computer; Wine itself stays as it is.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pefile

COMPILER = "x86_64-w64-mingw32-gcc-posix"
ICU = [
    *("ucnv_close", "UCNV_FROM_U_CALLBACK_SUBSTITUTE", "UCNV_TO_U_CALLBACK_SUBSTITUTE", "ucnv_reset"),
    *("ucnv_getMaxCharSize", "ucnv_getName", "ucnv_getToUCallBack", "ucnv_getFromUCallBack"),
    *("ucnv_setToUCallBack", "ucnv_setFromUCallBack", "ucnv_cbToUWriteUChars", "ucnv_cbFromUWriteUChars"),
    *("ucnv_toUnicode", "ucnv_fromUnicode", "ucnv_toUCountPending", "ucnv_fromUCountPending"),
    *("ucnv_getStandardName", "ucnv_getAvailableName", "ucnv_countAvailable"),
]
OPEN = "__declspec(dllexport) void *ucnv_open(const char *n, int *e) { if (e) *e = 4; return 0; }"
PARTS = {
    # A float's number comes in a register, the others by their address; the part goes into xmm0.
    "crealf": "660f6ec1c3",
    "cimagf": "48c1e920660f6ec1c3",
    "creall": "f20f1001c3",
    "cimag": "f20f104108c3",
    "cimagl": "f20f104108c3",
}
STUB = bytes.fromhex("4883ec28488d0d")
"""How a function begins that Wine does not have: it reports itself and ends the process."""
BUILTIN = b"Wine builtin DLL"
"""The mark of Wine's own libraries: without it, a copy counts as the computer's."""


@dataclass(frozen=True)
class Wine:
    """One computer: a folder with its disk and registry."""

    prefix: Path

    @property
    def disk(self) -> Path:
        """Its disk C."""
        return self.prefix / "drive_c"

    def prepare(self) -> "Wine":
        """Make the computer unless it is there; raise `SystemExit` where that cannot be."""
        for program in ("wine", COMPILER):
            if shutil.which(program) is None:
                raise SystemExit(f"error: {program} is needed to run Windows programs here.")
        version = subprocess.run(["wine", "--version"], check=True, capture_output=True, text=True).stdout
        if (found := re.search(r"wine-(\d+)", version)) and int(found[1]) < 10:
            raise SystemExit(f"error: Wine 10 or newer is needed; this is {version.strip()}.")
        system = self.disk / "windows" / "system32"
        if not (system / "icuuc.dll").exists():
            self.prefix.parent.mkdir(parents=True, exist_ok=True)
            self.run(["wineboot", "--init"])
            mend_c_library(system / "ucrtbase.dll")
            stand_in_for_icu(system / "icuuc.dll")
        return self

    def run(
        self,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        seconds: float = 1200,
    ) -> subprocess.CompletedProcess[str]:
        """Run ``command``, a Windows program by its path here or a program of Wine; its output as text."""
        words = [str(word) for word in command]
        if words[0].endswith((".exe", ".com")):
            words.insert(0, "wine")
        return subprocess.run(
            words,
            stdin=subprocess.DEVNULL,  # Python for Windows wants a valid one
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**self.environment(), **(environment or {})},
            cwd=folder,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )

    def environment(self) -> dict[str, str]:
        """Environment of everything that runs on it. No TMPDIR: Wine 10 aborts where there is one."""
        kept = {
            name: os.environ[name] for name in ("PATH", "HOME", "DISPLAY", "XAUTHORITY") if name in os.environ
        }
        return {
            **kept,
            "LANG": "C.UTF-8",
            "WINEPREFIX": str(self.prefix),
            "WINEDEBUG": "-all",
            "XDG_RUNTIME_DIR": str(self.prefix),  # it speaks up where there is none
            # Ours instead of Wine's; and nothing offers to install more of Wine.
            "WINEDLLOVERRIDES": "ucrtbase=n,b;mscoree,mshtml=",
        }

    def stop(self) -> None:
        """End all that runs on it, and wait until its registry is written."""
        self.run(["wineserver", "-k"])
        self.run(["wineserver", "-w"])


def windows_path(path: Path) -> str:
    """``path`` as a Windows program names it: Wine's disk Z is this computer's."""
    return "Z:" + str(path.absolute()).replace("/", "\\")


def stand_in_for_icu(library: Path) -> None:
    """Make the library of converters that never open."""
    functions = [f"__declspec(dllexport) void *{name}(void) {{ return 0; }}" for name in ICU]
    source = "\n".join([OPEN, *functions]) + "\n"
    command = [COMPILER, "-shared", "-s", "-x", "c", "-", "-o", str(library)]
    subprocess.run(command, input=source, text=True, check=True)


def mend_c_library(library: Path) -> None:
    """Put what numpy calls in place of its stubs in this copy of Wine's C library."""
    with pefile.PE(str(library)) as parsed:
        functions = {symbol.name: symbol.address for symbol in parsed.DIRECTORY_ENTRY_EXPORT.symbols}
        places = {name: parsed.get_offset_from_rva(functions[name.encode()]) for name in PARTS}
    content = bytearray(library.read_bytes())
    for name, place in places.items():
        if content[place : place + len(STUB)] == STUB:  # a newer Wine has the function
            code = bytes.fromhex(PARTS[name])
            content[place : place + len(code)] = code
    mark = content.find(BUILTIN)
    content[mark : mark + len(BUILTIN)] = bytes(len(BUILTIN))
    library.write_bytes(content)
