"""What can be typed after ``localai-app``."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from localai_app import __version__
from localai_app.chat.conversation import Overflow
from localai_app.cli.arguments import (
    EVERYWHERE,
    Parser,
    add_command,
    file_or_folder,
    moment,
    number,
    public_key,
)
from localai_app.cli.task_parser import add_tasks

if TYPE_CHECKING:
    from localai_app.cli.arguments import Commands

KV_TYPES = ("auto", "f16", "q8_0", "q4_0")
ABILITIES = ("vision", "thinking", "tools")
SORT_KEYS = ("catalogue", "name", "size", "speed", "fit")
ASK_MODES = ("auto", "whole", "search", "exhaustive")
COMMANDS = ("chat", "models", "docs", "task", "policy", "audit", "network", "backup", "key", "doctor")

_DOCUMENT_JSON = """\
  a document: id, name, path, format, size, sha256, added, state (waiting, reading, ready, locked, failed),
  error, pages, pages_read, characters, tokens, language, parent_id, trashed
"""
_ADDED_JSON = f"""\
with --json: an object of documents (a list), known (ids of those that were here), refused (name, reason)
{_DOCUMENT_JSON}"""
_LISTED_JSON = f"""\
with --json: a list of documents
{_DOCUMENT_JSON}"""
_FOUND_JSON = """\
with --json: a list of passages, best first
  a passage: document_id, document_name, chunk_id, page, page_kind, page_label, place, start, end, heading,
  text, score
"""
_ALONE = "localai-app alone opens the window; localai-app FILE opens the file in it."


def split_globals(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """``--json`` and ``--data-dir``, wherever they stand, and all the rest."""
    parser = Parser(prog="localai-app", add_help=False, allow_abbrev=False)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--data-dir", type=file_or_folder)
    return parser.parse_known_args(argv)


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; ``arguments.command`` is such as ``chat list``."""
    parser = Parser(
        prog="localai-app",
        description="Private, on-device AI. Nothing leaves this computer.",
        epilog=f"{_ALONE}\n\n{EVERYWHERE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"localai-app {__version__}")
    nouns = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_chat(nouns)

    models = add_command(nouns, "models", "models on this computer")
    verbs = models.add_subparsers(metavar="VERB", required=True)
    _add_library(verbs)
    select = add_command(verbs, "select", "let another model answer from now on, or search documents")
    select.add_argument("model", metavar="MODEL", help="a file, or a name from `models list`")
    _add_fit(verbs)
    _add_catalogue(verbs)
    link = add_command(verbs, "link", "use files where they lie; alone, it lists what other programs have")
    link.add_argument("paths", nargs="*", metavar="PATH", help="a GGUF file, or a folder that holds some")
    link.add_argument(
        "--found", action="store_true", help="all of LM Studio, Jan, Ollama and the Hugging Face cache"
    )
    unlink = add_command(verbs, "unlink", "forget a linked file; the file stays")
    unlink.add_argument("model", metavar="MODEL", help="a file, or a name from `models list`")

    _add_documents(nouns)
    add_tasks(nouns)

    policy = add_command(nouns, "policy", "what the organisation allows")
    verbs = policy.add_subparsers(metavar="VERB", required=True)
    add_command(verbs, "show", "list every key with its value, where it comes from and whether it is locked")
    check = add_command(
        verbs, "check", "look over a policy file before it is rolled out; exit code 1 if it is bad"
    )
    check.add_argument("file", type=file_or_folder, metavar="FILE", help="JSON, as in docs/policy.md")
    check.add_argument("--recommended", action="store_true", help="it is for the folder “recommended”")

    _add_audit(nouns)
    _add_network(nouns)

    _add_backup(nouns)

    key = add_command(nouns, "key", "the key of the encrypted store")
    verbs = key.add_subparsers(metavar="VERB", required=True)
    add_command(verbs, "show", "say how the key is guarded")
    passphrase = add_command(verbs, "set-passphrase", "guard the key with a (new) passphrase")
    passphrase.add_argument(
        "--from", dest="file", metavar="FILE", help="its first line is the passphrase (- for stdin)"
    )
    add_command(verbs, "use-keystore", "guard the key with this system's keystore")
    renew = add_command(verbs, "renew", "encrypt the store anew under another key; close the app first")
    renew.add_argument(
        "--from", dest="file", metavar="FILE", help="the passphrase from then on (- for stdin)"
    )
    make = add_command(verbs, "make-recovery-key", "for administrators: make the organisation's recovery key")
    make.add_argument("path", metavar="FILE", type=file_or_folder, help="where the private half goes")
    make.add_argument("--from", dest="file", metavar="FILE", help="its first line is a password for it")
    recover = add_command(verbs, "recover", "open the store with the recovery key; choose a new passphrase")
    recover.add_argument("private", metavar="FILE", type=file_or_folder, help="the private half")
    recover.add_argument(
        "--password-from", dest="password", metavar="FILE", help="the private half's password"
    )
    recover.add_argument("--from", dest="file", metavar="FILE", help="the new passphrase (- for stdin)")

    doctor = add_command(nouns, "doctor", "check everything and measure the speed")
    doctor.add_argument("--no-speed", action="store_true", help="leave out the speed test")
    return parser


def _add_backup(nouns: "Commands") -> None:
    backup = add_command(nouns, "backup", "all that you made, in one encrypted file")
    verbs = backup.add_subparsers(metavar="VERB", required=True)
    create = add_command(verbs, "create", "write one; work may go on meanwhile (models are not in it)")
    verify = add_command(verbs, "verify", "read one to its end and see that a passphrase opens it")
    restore = add_command(verbs, "restore", "put one into the data folder; close the app first")
    restore.add_argument("--replace", action="store_true", help="move a store that is there aside")
    for verb in (create, verify, restore):
        verb.add_argument("path", metavar="FILE", type=file_or_folder)
        verb.add_argument(
            "--from", dest="file", metavar="FILE", help="its first line is the passphrase (- for stdin)"
        )


def _add_library(verbs: "Commands") -> None:
    named = "a file, or a name from `models list`"
    add_command(verbs, "list", "list them; * marks those in use")
    show = add_command(verbs, "show", "what a model file says of itself")
    show.add_argument("model", metavar="MODEL", help=named)
    show.add_argument("--diff", metavar="OTHER", help="compare its chat template with that of another model")
    verify = add_command(
        verbs, "verify", "read models again and compare their hashes; exit code 1 if one changed"
    )
    verify.add_argument("models", nargs="*", metavar="MODEL", help=f"{named}; without one: all")
    verify.add_argument("--accept", action="store_true", help="let a changed file be used from now on")
    add = add_command(verbs, "import", "copy model files into the models folder, checked like a download")
    add.add_argument("paths", nargs="+", metavar="PATH", help="a GGUF file, or a folder that holds some")
    remove = add_command(verbs, "remove", "erase a model; of a linked one only the link goes")
    remove.add_argument("model", metavar="MODEL", help=named)
    move = add_command(
        verbs, "move", "move the models folder; the same command goes on after an interruption"
    )
    move.add_argument("folder", metavar="FOLDER", nargs="?", help="an empty or a new one")
    move.add_argument("--cancel", action="store_true", help="take an interrupted move back")
    search = add_command(verbs, "search", "search the hub for models")
    search.add_argument("words", nargs="+", metavar="WORD")
    search.add_argument("--limit", type=number, default=20, metavar="N", help="at most so many (default 20)")
    pull = add_command(verbs, "pull", "fetch a model; the same command goes on after an interruption")
    pull.add_argument(
        "model",
        metavar="MODEL",
        help="an id of `models catalogue --json`, or OWNER/NAME with or without :QUANT, such as :Q4_K_M",
    )
    pull.add_argument("--revision", default="main", metavar="NAME", help="branch, tag or commit")
    pull.add_argument("--limit", type=float, metavar="MB", help="megabytes per second at most; 0: no limit")
    pull.add_argument("--show", action="store_true", help="list what the repository offers, fetch nothing")


def _add_catalogue(verbs: "Commands") -> None:
    catalogue = add_command(
        verbs, "catalogue", "models that can be got, and how they would do on this computer"
    )
    catalogue.add_argument("words", nargs="*", metavar="WORD", help="only those that hold all of these words")
    catalogue.add_argument("--family", action="append", default=[], metavar="NAME", help="such as gemma")
    catalogue.add_argument("--ability", action="append", default=[], choices=ABILITIES)
    catalogue.add_argument("--kind", choices=("chat", "embedding"), help="embedding models search documents")
    catalogue.add_argument("--language", default="", metavar="CODE", help="two letters, such as de")
    catalogue.add_argument("--licence", default="", metavar="NAME", help="such as apache")
    catalogue.add_argument("--commercial", action="store_true", help="only those that companies may use")
    catalogue.add_argument("--fits", action="store_true", help="only those that fit into memory now")
    catalogue.add_argument("--context", type=int, default=0, metavar="N", help="tokens; 0: automatic")
    catalogue.add_argument("--sort", choices=SORT_KEYS, default="catalogue", help="default: catalogue")


def _add_fit(verbs: "Commands") -> None:
    fit = add_command(
        verbs, "fit", "what a model needs of this computer's memory; exit code 1 if it has too little"
    )
    fit.add_argument(
        "model", metavar="MODEL", nargs="?", help="a file or a name (default: the one that answers)"
    )
    fit.add_argument("--context", type=int, metavar="N", help="tokens of context; 0: automatic")
    fit.add_argument("--kv-type", choices=KV_TYPES, help="numbers of the KV cache")
    fit.add_argument("--gpu-layers", type=int, metavar="N", help="layers on the GPU; -1: automatic")
    fit.add_argument("--anyway", action="store_true", help="let it load even if memory is short")
    fit.add_argument("--keep", action="store_true", help="load it so from now on")
    fit.add_argument("--reset", action="store_true", help="forget what was kept for it first")


def _add_documents(nouns: "Commands") -> None:
    documents = add_command(nouns, "docs", "documents that are read and searched")
    verbs = documents.add_subparsers(metavar="VERB", required=True)
    named = "a number or a name from docs list"
    add = add_command(
        verbs, "add", "read files, and all files of folders; the same command goes on after a stop"
    )
    add.add_argument("paths", nargs="+", metavar="PATH", help="a file or a folder")
    add.add_argument("--collection", metavar="NAME", help="put them into it; it is made if need be")
    add.add_argument("--no-wait", dest="wait", action="store_false", help="only list them as waiting")
    add.epilog = f"{_ADDED_JSON}\n{EVERYWHERE}"
    listing = add_command(verbs, "list", "list documents by name")
    listing.add_argument("--collection", metavar="NAME", help="only those of this collection")
    listing.add_argument("--trash", action="store_true", help="those in the trash")
    listing.epilog = f"{_LISTED_JSON}\n{EVERYWHERE}"
    show = add_command(verbs, "show", "what a document is, and what of it was read")
    show.add_argument("document", metavar="DOC", help=named)
    show.add_argument("--page", type=number, metavar="N", help="print the text of this page")
    search = add_command(verbs, "search", "find passages by words and by meaning")
    search.add_argument("words", nargs="+", metavar="WORD")
    search.add_argument("--collection", metavar="NAME", help="only in this collection")
    search.add_argument("--limit", type=number, default=10, metavar="N", help="at most so many (default 10)")
    search.epilog = f"{_FOUND_JSON}\n{EVERYWHERE}"
    _add_ask(verbs, named)
    remove = add_command(verbs, "remove", "put documents in the trash; their files stay where they are")
    remove.add_argument("documents", nargs="+", metavar="DOC", help=named)
    remove.add_argument("--erase", action="store_true", help="erase what was read; this cannot be undone")
    restore = add_command(verbs, "restore", "take documents out of the trash")
    restore.add_argument("documents", nargs="+", metavar="DOC", help=f"{named} --trash")
    add_command(verbs, "refresh", "read files again that have changed; exit code 1 if one is gone")
    add_command(verbs, "collections", "list collections")


def _add_ask(verbs: "Commands", named: str) -> None:
    ask = add_command(
        verbs, "ask", "let the model answer from documents, with citations checked on their pages"
    )
    ask.add_argument("question", metavar="QUESTION", help="- reads it from stdin")
    ask.add_argument(
        "--collection", action="append", default=[], metavar="NAME", help="only from this collection"
    )
    ask.add_argument(
        "--document", action="append", default=[], metavar="DOC", help=f"only from this, {named}"
    )
    ask.add_argument(
        "--mode",
        choices=ASK_MODES,
        default="auto",
        help="whole: all text in one prompt; search: the best passages; exhaustive: every page is read "
        "(default auto: whole where it fits, else search)",
    )
    ask.add_argument("--price", action="store_true", help="only say what the question costs in each mode")
    ask.add_argument("--model", metavar="MODEL", help="a file or a name from `models list`, for this time")


def _add_audit(nouns: "Commands") -> None:
    audit = add_command(nouns, "audit", "the audit log")
    verbs = audit.add_subparsers(metavar="VERB", required=True)
    listing = add_command(verbs, "list", "list entries, the newest first")
    _add_selection(listing)
    listing.add_argument("--limit", type=number, default=50, metavar="N", help="at most so many (default 50)")
    show = add_command(verbs, "show", "print one entry")
    show.add_argument("entry", type=number, metavar="NUMBER", help="number from `audit list`")
    verify = add_command(verbs, "verify", "check that no entry was changed; exit code 1 if one was")
    verify.add_argument(
        "file", nargs="?", type=file_or_folder, metavar="FILE", help="an exported file; needs no store"
    )
    head = "a checkpoint's file, an exported file, or NUMBER:HASH"
    verify.add_argument(
        "--against", action="append", default=[], metavar="HEAD", help=f"it must continue this: {head}"
    )
    verify.add_argument(
        "--from", dest="start", metavar="HEAD", help=f"check only what came after this: {head}"
    )
    verify.add_argument(
        "--key", type=public_key, metavar="HEX", help="of a file: who must have signed its checkpoints"
    )
    verify.add_argument(
        "--selected", action="store_true", help="of a file: it holds a selection, so entries may be left out"
    )
    checkpoint = add_command(verbs, "checkpoint", "sign what the log is now, for keeping on another machine")
    checkpoint.add_argument("--output", type=file_or_folder, metavar="FILE", help="default: stdout")
    export = add_command(verbs, "export", "write entries with their hashes to a file")
    _add_selection(export)
    export.add_argument(
        "--output", type=file_or_folder, metavar="FILE", help="default: in the organisation's folder"
    )
    export.add_argument(
        "--format", choices=("jsonl", "csv"), help="default: as FILE is named, else JSON Lines"
    )
    export.add_argument("--force", action="store_true", help="replace the file if it exists")
    hand_over = add_command(
        verbs, "hand-over", "write content that is kept for the organisation (ContentCapture) to a file"
    )
    hand_over.add_argument("--output", type=file_or_folder, metavar="FILE", required=True)
    hand_over.add_argument("--force", action="store_true", help="replace the file if it exists")
    rotate = add_command(verbs, "rotate", "move old entries into an archive that is verified first")
    rotate.add_argument(
        "--output", type=file_or_folder, metavar="FILE", help="default: in the organisation's folder"
    )
    rotate.add_argument(
        "--before",
        type=moment,
        metavar="TIME",
        help="only up to the last checkpoint before then; default: all",
    )


def _add_network(nouns: "Commands") -> None:
    network = add_command(nouns, "network", "what connects, and proof that nothing else can")
    verbs = network.add_subparsers(metavar="VERB", required=True)
    check = add_command(
        verbs, "check", "look at every process of this command; exit code 1 if one could connect"
    )
    check.add_argument("--output", type=file_or_folder, metavar="FILE", help="write a signed statement")
    check.add_argument("--force", action="store_true", help="replace the file if it exists")
    verify = add_command(verbs, "verify", "check a signed statement; needs no store")
    verify.add_argument("file", type=file_or_folder, metavar="FILE")
    verify.add_argument("--key", type=public_key, metavar="HEX", help="who must have signed it")
    listing = add_command(verbs, "list", "list connections made and refused, the newest first")
    listing.add_argument(
        "--since", type=moment, metavar="TIME", help="from then on, such as 2026-11-20T08:00"
    )
    listing.add_argument("--limit", type=number, default=50, metavar="N", help="at most so many (default 50)")


def _add_selection(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--since", type=moment, metavar="TIME", help="from then on, such as 2026-11-20T08:00")
    verb.add_argument("--until", type=moment, metavar="TIME", help="only before then")
    verb.add_argument(
        "--event", action="append", default=[], metavar="NAME", help="such as document.opened, or document"
    )
    verb.add_argument("--object", default="", metavar="ID", help="only what is about this")


def _add_chat(nouns: "Commands") -> None:
    chat = add_command(nouns, "chat", "chat in this terminal")
    ask = chat.add_argument_group("one answer, or settings of the chat")
    ask.add_argument("--prompt", metavar="TEXT", help="ask this, print the answer and end (- for stdin)")
    ask.add_argument("--conversation", type=number, metavar="ID", help="go on with this conversation")
    ask.add_argument("--system", metavar="TEXT", help="instructions that the model reads first")
    ask.add_argument("--model", metavar="MODEL", help="a file or a name from `models list`, for this time")
    ask.add_argument("--temperature", type=float, metavar="N", help="0 takes the likeliest word")
    ask.add_argument("--max-tokens", type=int, metavar="N", help="end the answer there; 0: no limit")
    ask.add_argument("--seed", type=int, metavar="N", help="the same seed draws the same answer")
    ask.add_argument(
        "--overflow",
        choices=get_args(Overflow),
        help="what to do when the conversation outgrows the model's context (default stop)",
    )

    verbs = chat.add_subparsers(metavar="VERB")
    listing = add_command(verbs, "list", "list conversations, the newest first")
    listing.add_argument("--trash", action="store_true", help="those in the trash")
    listing.add_argument("--limit", type=number, default=50, metavar="N", help="at most so many (default 50)")

    _add_id(add_command(verbs, "show", "print a conversation"))

    search = add_command(verbs, "search", "find messages that hold all of these words")
    search.add_argument("words", nargs="+", metavar="WORD")
    search.add_argument("--limit", type=number, default=20, metavar="N", help="at most so many (default 20)")

    export = add_command(verbs, "export", "write a conversation to a file")
    _add_id(export)
    export.add_argument(
        "--format", choices=("md", "html", "json", "docx"), help="default: as FILE is named, else md"
    )
    export.add_argument("--output", metavar="FILE", help="default: stdout")
    export.add_argument("--force", action="store_true", help="replace the file if it exists")

    delete = add_command(verbs, "delete", "put conversations in the trash")
    delete.add_argument("ids", type=number, nargs="+", metavar="ID")
    delete.add_argument("--forever", action="store_true", help="erase them; this cannot be undone")

    restore = add_command(verbs, "restore", "take conversations out of the trash")
    restore.add_argument("ids", type=number, nargs="+", metavar="ID")

    rename = add_command(verbs, "rename", "give a conversation another title")
    _add_id(rename)
    rename.add_argument("title", nargs="+", metavar="TITLE")


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", type=number, metavar="ID", help="number from `chat list`")
