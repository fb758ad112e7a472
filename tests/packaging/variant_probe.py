"""A program, not a test: what one variant of the engine computes, told each next token.

usage: variant_probe.py MODEL OUTPUT [TOLD]     (environment: engine/protocol.py)

OUTPUT becomes a NumPy archive: the engine's own line, the tokens and the logits that stood for each of them.
Without TOLD, an archive of an earlier run, the likeliest token is taken; with it, the token of that run.
"""

import sys
from pathlib import Path

import numpy as np

from localai_app.engine.protocol import LoadSettings
from localai_app.engine.worker import llama
from localai_app.engine.worker.llama import Context, Entry, Model

PROMPT = "The hospital keeps its records on its own computers, because"
TOKENS = 24


def main(model_path: Path, output: Path, told: Path | None) -> None:
    llama.start_library()
    settings = LoadSettings(context_length=256)
    model = Model(model_path, settings, lambda _fraction: None)
    context = Context(model, settings, threads=1, should_abort=lambda: False)
    expected = np.load(told)["tokens"].tolist() if told else []
    prompt = model.vocabulary.tokenize(PROMPT)
    entries = [Entry(token, at, 0, at == len(prompt) - 1) for at, token in enumerate(prompt)]
    tokens: list[int] = []
    logits = []
    while len(tokens) < TOKENS:
        context.decode(entries)
        logits.append(context.logits(len(entries) - 1))
        tokens.append(expected[len(tokens)] if expected else int(logits[-1].argmax()))
        entries = [Entry(tokens[-1], len(prompt) + len(tokens) - 1, 0, True)]
    np.savez(output, build=llama.engine_build(), tokens=tokens, logits=np.array(logits))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
