"""An app that streams answers until it is killed: ``streaming_app.py BASE``.

Says on stdout what a person would have seen: ``question ID``, then ``seconds characters`` per delta.
"""

import sys
import time
from pathlib import Path

from localai_app.app import open_app
from localai_app.chat.conversation import Parameters
from localai_app.chat.service import TextDelta
from localai_app.paths import Paths

base = Path(sys.argv[1])
paths = Paths(base / "data", base / "config", base / "cache", (base / "models",))
with open_app(paths) as app:
    app.models.load()
    while True:
        conversation = app.chat.create()
        app.chat.set_parameters(conversation.id, Parameters(temperature=1.2))
        turn = app.chat.send(conversation.id, f"Question {conversation.id}: tell me a very long story.")
        sys.stdout.write(f"question {conversation.id} {turn.answer.id}\n")
        sys.stdout.flush()
        length = 0
        for event in turn:
            if isinstance(event, TextDelta):
                length += len(event.text)
                sys.stdout.write(f"{time.monotonic()} {length}\n")
                sys.stdout.flush()
