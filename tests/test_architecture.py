"""The rules of docs/architecture.md, checked on the source text of every module.

``violations`` works on text, so that each rule is also shown to catch what it forbids.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "localai_app"

# From the top down: a room imports rooms below its own layer only. errors.py is under everything.
LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(layer.split())
    for layer in (
        "__main__",
        "ui cli",
        "app",
        "retention",
        "tasks chat",
        "documents",
        "models",
        "governance",
        "engine store",
        "processes",
        "sandbox paths",
        "errors",
    )
)
HEIGHT = {room: len(LAYERS) - number for number, layer in enumerate(LAYERS) for room in layer}

# Who alone may import what; a name covers the modules inside it.
ONLY_IN = {
    "PySide6": ("ui",),
    "shiboken6": ("ui",),
    "llama_cpp": ("engine.worker",),
    "sqlcipher3": ("store",),
    "sqlite_utils": ("store",),
    "sqlite3": ("store",),
    "pysqlite3": ("store",),
    "subprocess": ("processes",),
    **dict.fromkeys(
        (
            *("huggingface_hub", "socket", "socketserver", "ssl", "http", "urllib.request", "urllib3"),
            *("requests", "httpx", "httpx2", "truststore", "aiohttp", "ftplib", "smtplib", "xmlrpc"),
            "PySide6.QtNetwork",
        ),
        ("models.hub",),
    ),
    # What parses files that anybody may have written runs in the reader process alone.
    **dict.fromkeys(
        (
            *("pypdfium2", "lxml", "PIL", "olefile", "msoffcrypto", "compressed_rtf", "charset_normalizer"),
            *("rapidocr", "onnxruntime", "cv2"),
        ),
        ("documents.readers",),
    ),
    # A local pair of sockets hands the puller's pipes to the spawner.
    "socket": ("models.hub", "processes"),
    # Unpickle what they read, run text as code, or start processes past processes.py: nobody.
    **dict.fromkeys(
        ("pickle", "cPickle", "dill", "marshal", "shelve", "multiprocessing", "pty", "code", "runpy"), ()
    ),
}
WORKER_IS_STARTED_BY = ("__main__", "engine.worker")

SPEAKS_SQL = (
    *(
        "store",
        "chat.history",
        "chat.snapshots",
        "documents.library",
        "documents.kept_chunks",
        "documents.search",
        "tasks.runs",
    ),
    *("models.installed", "models.pulls", "governance.audit", "governance.capture"),
)
SQL = re.compile(
    r"^\s*(SELECT\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|REPLACE\s+INTO\s"
    r"|(CREATE|ALTER|DROP)\s+(VIRTUAL\s+|UNIQUE\s+|TEMP\s+)?(TABLE|INDEX|TRIGGER|VIEW)\s|PRAGMA\s|ATTACH\s"
    r"|BEGIN\s+(IMMEDIATE|EXCLUSIVE|DEFERRED)|WITH\s+(RECURSIVE\s+)?\w+\s*(\([^)]*\))?\s+AS\s*\()"
)

FORBIDDEN_CALLS = {"eval", "exec", "__import__", "breakpoint", "import_module"}
STARTS_PROCESSES = re.compile(r"^(system|popen|startfile|fork|forkpty|posix_spawnp?|(exec|spawn)[lv]p?e?)$")


def violations(module: str, source: str) -> list[str]:
    """What the module ``localai_app.<module>`` with this ``source`` does against the rules."""
    tree = ast.parse(source)
    return [
        *_import_violations(module, tree),
        *_call_violations(module, tree),
        *_sql_violations(module, tree),
    ]


def _import_violations(module: str, tree: ast.AST) -> Iterator[str]:
    for imported in _imports(module, tree):
        if imported.startswith("localai_app."):
            yield from _room_violations(module, imported.removeprefix("localai_app."))
        for name, allowed in ONLY_IN.items():
            if _within(imported, name) and not any(_within(module, room) for room in allowed):
                yield f"{module} imports {imported}; only {', '.join(allowed) or 'nobody'} may"


def _room_violations(module: str, imported: str) -> Iterator[str]:
    importer, room = (name.partition(".")[0] for name in (module, imported))
    if room == "__version__":
        return
    if room not in HEIGHT:
        yield f"{module} imports {imported}, a room without a place in LAYERS"
    elif importer not in HEIGHT:
        yield f"{module} is in a room without a place in LAYERS"
    elif importer != room and HEIGHT[room] >= HEIGHT[importer]:
        yield f"{module} imports {imported}; imports go down only"
    if _within(imported, "engine.worker") and not any(_within(module, name) for name in WORKER_IS_STARTED_BY):
        yield f"{module} imports {imported}; the worker is another process"


def _call_violations(module: str, tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.id if isinstance(function, ast.Name) else ""
        attribute = function.attr if isinstance(function, ast.Attribute) else ""
        if name in FORBIDDEN_CALLS or attribute == "import_module":
            yield f"{module}:{node.lineno} calls {name or attribute}"
        if name == "print" and not _within(module, "cli"):
            yield f"{module}:{node.lineno} prints; only the command line may"
        of_os = (
            isinstance(function, ast.Attribute)
            and isinstance(function.value, ast.Name)
            and function.value.id in ("os", "posix")
        )
        if of_os and STARTS_PROCESSES.match(attribute) and module != "processes":
            yield f"{module}:{node.lineno} calls os.{attribute}; processes.py starts processes"
        for keyword in node.keywords:
            if keyword.arg == "shell" and not (
                isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            ):
                yield f"{module}:{node.lineno} uses a shell"


def _sql_violations(module: str, tree: ast.AST) -> Iterator[str]:
    if any(_within(module, room) for room in SPEAKS_SQL):
        return
    docstrings = {id(text) for text in _docstrings(tree)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
            and SQL.match(node.value)
        ):
            yield f"{module}:{node.lineno} speaks SQL: {node.value.strip()[:40]!r}"


def _imports(module: str, tree: ast.AST) -> Iterator[str]:
    """Full names of all that ``tree`` imports, at the top or inside functions."""
    package = ["localai_app", *module.split(".")]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*package[: -node.level], node.module or ""]) if node.level else node.module or ""
            base = base.rstrip(".")
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    """Strings that stand alone as a statement."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def _within(name: str, outer: str) -> bool:
    return name == outer or name.startswith(f"{outer}.")


def _modules() -> list[tuple[str, Path]]:
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        if module != "__init__":
            found.append((module, file))
    return found


@pytest.mark.parametrize(
    ("module", "file"), _modules(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_module_keeps_the_rules(module: str, file: Path) -> None:
    assert violations(module, file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("store.database", "from localai_app.chat import service"),
        ("store.database", "from localai_app import chat"),
        ("chat.service", "def later():\n    from localai_app.ui.main_window import MainWindow"),
        ("cli", "import localai_app.ui.application"),
        ("models.service", "from localai_app.documents.service import DocumentService"),
        ("chat.service", "from ..app import open_app"),
        ("errors", "from localai_app.paths import Paths"),
        ("chat.service", "from localai_app.elsewhere import thing"),
        ("engine.client", "from localai_app.engine.worker.main import main"),
        ("chat.service", "from PySide6.QtCore import QObject"),
        ("ui.main_window", "from PySide6 import QtNetwork"),
        ("ui.main_window", "from PySide6.QtNetwork import QLocalServer"),
        ("engine.client", "import llama_cpp"),
        ("models.service", "import huggingface_hub"),
        ("models.service", "import socket"),
        ("chat.export", "import http.client"),
        ("chat.export", "from urllib import request"),
        ("chat.export", "import urllib.request as web"),
        ("chat.history", "import sqlcipher3.dbapi2"),
        ("chat.history", "from sqlite_utils import Database"),
        ("engine.client", "import subprocess"),
        ("engine.client", "from subprocess import Popen"),
        ("documents.service", "import pypdfium2"),
        ("documents.reader_child", "from PIL import Image"),
        ("store.settings", "import pickle"),
        ("engine.client", "from multiprocessing import Pipe"),
        ("chat.service", "eval('1')"),
        ("chat.service", "exec('1')"),
        ("chat.service", "__import__('socket')"),
        ("chat.service", "import importlib\nimportlib.import_module('socket')"),
        ("chat.service", "import os\nos.system('ls')"),
        ("chat.service", "import os\nos.execvp('ls', [])"),
        ("processes", "import subprocess\nsubprocess.run('ls', shell=True)"),
        ("processes", "import subprocess\nsubprocess.run('ls', shell=flag)"),
        ("chat.service", "print('hello')"),
        ("chat.service", "rows = 'SELECT * FROM message'"),
        ("chat.service", "text = f'UPDATE message SET text = {1}'"),
        ("governance.policy", "text = '''\n  INSERT OR IGNORE INTO setting VALUES (1)'''"),
        ("ui.chat.page", "text = 'CREATE VIRTUAL TABLE search USING fts5(text)'"),
    ],
)
def test_each_rule_catches_what_it_forbids(module: str, source: str) -> None:
    assert violations(module, source) != []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("chat.service", '"""SELECT what you like; a docstring."""\nfrom localai_app.models import service'),
        ("chat.history", "rows = 'SELECT * FROM message'"),
        ("ui.chat.page", "label = 'Select a model'"),
        ("cli", "print('hello')\nfrom localai_app.app import open_app\nfrom urllib.parse import quote"),
        ("processes", "import subprocess\nsubprocess.Popen(['ls'], shell=False)"),
        ("engine.worker.main", "import llama_cpp\nfrom localai_app.engine import protocol"),
        ("__main__", "from localai_app.engine.worker.main import main\nfrom localai_app.cli import main"),
        ("chat.service", "import re\nre.compile('x')\nfrom localai_app import __version__"),
        ("store.database", "import localai_app\nfrom localai_app import errors"),
        ("governance.keys", "from . import policy\nfrom ..store import database"),
    ],
)
def test_what_is_allowed_passes(module: str, source: str) -> None:
    assert violations(module, source) == []
