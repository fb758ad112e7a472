"""A small task on the real engine: ``tasking_app.py read FOLDER``, ``start MODE`` or ``resume MODE``."""

import sys
from pathlib import Path

import msgspec

from localai_app import app
from localai_app.documents.document import Scope
from localai_app.documents.exhaustive import heading
from localai_app.documents.grounding import fenced
from localai_app.paths import Paths
from localai_app.tasks.run import RunSettings
from localai_app.tasks.task import Column, Cost, Finding, Form, Outcome, Write, Written

SCHEMA = '{"type":"object","properties":{"word":{"type":"string","maxLength":24}},"required":["word"]}'


class Options(msgspec.Struct, frozen=True):
    """None."""


class Words:
    """A word of each window, and then one of all these."""

    name, title, description = "words", "Words", "For tests."
    options = Options

    def check(self, options):
        pass

    def label(self, options):
        return ""

    def columns(self, options):
        return (Column("words", "Words", Form.LIST),)

    def fingerprint(self, options):
        return "0" * 64

    def cost(self, tokens, window, options):
        return Cost(5, tokens, 60)

    def work(self, source, options):
        parts = [
            "\n".join(f"{heading(passage)}\n{passage.text}" for passage in window)
            for window in source.windows(120)
        ]
        outputs = yield [self.step(part) for part in parts]
        (last,) = yield [self.step(" ".join(output.text for output in outputs))]
        assert all(isinstance(output, Written) for output in (*outputs, last))
        said = [output.text for output in (*outputs, last)]
        return Outcome(tuple(Finding("words", at, value=text, shown=text) for at, text in enumerate(said)))

    def step(self, content):
        instruction = "Name the most important word of the text as JSON."
        return Write(instruction, fenced(content), 16, SCHEMA)


def main(act, argument):
    app.KINDS = (Words(),)
    with app.open_app(Paths.for_user()) as opened:
        if act == "read":
            opened.documents.add([Path(argument)])
            return 0 if opened.documents.wait(120) else 1
        if act == "start":
            settings = RunSettings(deterministic=argument == "deterministic", keep_awake=False)
            run = opened.tasks.start("words", Options(), Scope(), settings)
        else:
            (run,) = opened.tasks.runs()
            opened.tasks.resume(run.id)
        return 0 if opened.tasks.wait(run.id, 280) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
