"""What can be typed after ``localai-app task``."""

import argparse
from typing import TYPE_CHECKING

from localai_app.cli.arguments import EVERYWHERE, add_command, file_or_folder, number, public_key

if TYPE_CHECKING:
    from localai_app.cli.arguments import Commands

FORMATS = ("xlsx", "csv", "json", "md", "docx", "pdf")

_RUN_JSON = """\
  a run: id, kind, title, where, options, columns, settings, state (waiting, running, paused, done, stopped),
  created, finished, model, fingerprint, notice, documents, done, failed, to_review, trashed
"""
_ITEM_JSON = """\
  an item is one document: id, run_id, document_id, document_name, sha256, state, attempts, error, outcome,
  coverage, cost, model, prompts_sha256, decisions, finished
"""
_RESULTS_JSON = f"""\
with --json: an object of run, items (a list) and refused (name, reason)
{_RUN_JSON}{_ITEM_JSON}"""


def add_tasks(nouns: "Commands") -> None:
    """``task`` and all its verbs."""
    task = add_command(nouns, "task", "one task over many documents, with the evidence")
    verbs = task.add_subparsers(metavar="VERB", required=True)
    _add_run(verbs)
    listing = add_command(verbs, "list", "list runs, the newest first")
    listing.add_argument("--trash", action="store_true", help="those in the trash")
    listing.epilog = f"with --json: a list of runs\n{_RUN_JSON}\n{EVERYWHERE}"
    show = add_command(verbs, "show", "what came of a run: values, where they stand, and what is in doubt")
    _add_id(show)
    show.add_argument(
        "--document", metavar="DOC", help="all about this one: a number or a name of `docs list`"
    )
    show.epilog = f"{_RESULTS_JSON}\n{EVERYWHERE}"
    _add_control(verbs)
    _add_review(verbs)
    _add_results(verbs)
    remove = add_command(verbs, "remove", "put runs in the trash")
    restore = add_command(verbs, "restore", "take runs out of the trash")
    erase = add_command(verbs, "erase", "erase runs with all that came of them; this cannot be undone")
    for verb in (remove, restore, erase):
        verb.add_argument("runs", type=number, nargs="+", metavar="RUN", help="number from `task list`")
    add_command(verbs, "kinds", "list the kinds of tasks")
    add_command(verbs, "templates", "list the templates of extraction")


def _add_run(verbs: "Commands") -> None:
    run = add_command(verbs, "run", "do a task on documents; exit code 1 if one of them failed")
    run.add_argument("kind", metavar="KIND", help="a kind from `task kinds`")
    run.add_argument(
        "paths", nargs="*", default=[], metavar="PATH", help="a file or a folder, read first where need be"
    )
    of = run.add_argument_group("documents that are here already")
    of.add_argument("--collection", action="append", default=[], metavar="NAME")
    of.add_argument(
        "--document", action="append", default=[], metavar="DOC", help="a number or a name of `docs list`"
    )
    of.add_argument("--all", action="store_true", help="the whole library")
    _add_options(run.add_argument_group("what to do"))
    how = run.add_argument_group("how")
    how.add_argument("--price", action="store_true", help="only say what it costs")
    how.add_argument("--model", metavar="MODEL", help="a file or a name from `models list`, for this time")
    how.add_argument("--deterministic", action="store_true", help="the same bits each time; slower")
    how.add_argument("--tonight", action="store_true", help="begin at 22:00")
    how.add_argument("--may-sleep", action="store_true", help="let the computer go to sleep meanwhile")
    how.add_argument("--no-wait", dest="wait", action="store_false", help="only list it as waiting")
    how.add_argument(
        "--out", type=file_or_folder, metavar="FILE", help=f"write the results: {', '.join(FORMATS)}"
    )
    how.add_argument("--force", action="store_true", help="replace the file if it exists")
    run.epilog = f"Ctrl-C pauses the run; `task resume` goes on with it.\n\n{_RESULTS_JSON}\n{EVERYWHERE}"


def _add_options(what: argparse._ArgumentGroup) -> None:
    what.add_argument("--options", type=file_or_folder, metavar="FILE", help="all options, as JSON")
    what.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="any option, by its name"
    )
    what.add_argument("--question", metavar="TEXT", help="answer: what each document is asked")
    what.add_argument(
        "--form", metavar="FORM", help="answer: free, yes_no, date, amount, number or one_of (default free)"
    )
    what.add_argument(
        "--choice", action="append", default=[], metavar="TEXT", help="answer: one to choose from (one_of)"
    )
    what.add_argument("--template", metavar="NAME", help="extract: a template from `task templates`")
    what.add_argument(
        "--schema", type=file_or_folder, metavar="FILE", help="extract: a JSON Schema, or a list of fields"
    )
    what.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="NAME: DESCRIPTION",
        help="classify: one of the labels",
    )
    what.add_argument("--multi", action="store_true", help="classify: several labels may fit")
    what.add_argument(
        "--threshold", type=float, metavar="N", help="classify: below it a person decides, 0 to 1"
    )
    what.add_argument("--length", metavar="LENGTH", help="summarise: short, medium or long")
    what.add_argument("--audience", metavar="TEXT", help="summarise: who reads it")
    what.add_argument("--language", metavar="CODE", help="summarise: two letters, such as de")


def _add_control(verbs: "Commands") -> None:
    pause = add_command(verbs, "pause", "begin no more work of a run; what is done is kept")
    _add_id(pause)
    stop = add_command(verbs, "stop", "end a run now; what is done is kept")
    _add_id(stop)
    resume = add_command(verbs, "resume", "go on with a run; exit code 1 if a document failed")
    _add_id(resume)
    resume.add_argument(
        "--with-this-model", action="store_true", help="even if another model began it: both are recorded"
    )
    resume.epilog = f"{_RESULTS_JSON}\n{EVERYWHERE}"
    retry = add_command(verbs, "retry", "do documents again that failed; exit code 1 if one fails again")
    _add_id(retry)
    retry.add_argument(
        "--document",
        action="append",
        default=[],
        metavar="DOC",
        help="only this one; default: all that failed",
    )
    retry.epilog = f"{_RESULTS_JSON}\n{EVERYWHERE}"


def _add_review(verbs: "Commands") -> None:
    review = add_command(verbs, "review", "list what is in doubt, the greatest doubt first, or decide on it")
    _add_id(review)
    keyed = ("ITEM", "KEY")
    decide = review.add_argument_group("decide; ITEM and KEY are those of the list")
    decide.add_argument(
        "--accept", nargs=2, action="append", default=[], metavar=keyed, help="the value is right"
    )
    decide.add_argument(
        "--correct", nargs=3, action="append", default=[], metavar=(*keyed, "VALUE"), help="this is right"
    )
    decide.add_argument("--reject", nargs=2, action="append", default=[], metavar=keyed, help="it is wrong")
    decide.add_argument("--undo", nargs=2, action="append", default=[], metavar=keyed, help="take that back")


def _add_results(verbs: "Commands") -> None:
    export = add_command(verbs, "export", "write the results of a run to a file")
    _add_id(export)
    export.add_argument("file", type=file_or_folder, metavar="FILE")
    export.add_argument("--format", choices=FORMATS, help="default: as FILE is named")
    evidence = add_command(verbs, "evidence", "write the signed record of a run: what its results rest on")
    _add_id(evidence)
    evidence.add_argument("file", type=file_or_folder, metavar="FILE")
    for verb in (export, evidence):
        verb.add_argument("--force", action="store_true", help="replace the file if it exists")
    verify = add_command(
        verbs, "verify", "check an evidence record, without a store; exit code 1 if it is bad"
    )
    verify.add_argument("file", type=file_or_folder, metavar="FILE", help="from `task evidence`")
    verify.add_argument(
        "--key", type=public_key, metavar="HEX", help="who must have signed it: the key as it was told to you"
    )
    verify.add_argument(
        "--documents", type=file_or_folder, metavar="FOLDER", help="compare the documents here with it, too"
    )


def _add_id(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("run", type=number, metavar="RUN", help="number from `task list`")
