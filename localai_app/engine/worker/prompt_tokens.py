"""Prompt segments → tokens, so that no text can become a control token.

Only a template's own parts are searched for control tokens. All other text is joined across segments
and tokenised as plain text: the same tokens as tokenising the rendered prompt at once, but for
control tokens that somebody wrote. Answers of this worker keep the token ids that were sampled: their
text may tokenise differently, and then the cached prefix would end there.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from localai_app.engine.protocol import Segment
from localai_app.engine.worker.llama import Vocabulary

_REMEMBERED_ANSWERS = 256


class PromptTokenizer:
    """Tokenises prompts for one vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._control = vocabulary.control_texts()
        self._control_tokens = frozenset(self._control.values())
        longest_first = sorted(self._control, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        self._answers: OrderedDict[str, list[int]] = OrderedDict()

    def tokenize(self, prompt: Sequence[Segment]) -> list[int]:
        """Tokens of ``prompt``, the beginning-of-text token first where the model wants one."""
        tokens: list[int] = []
        run = ""
        for part in self._parts(prompt):
            if isinstance(part, str):
                run += part
                continue
            if run:
                tokens += self._vocabulary.tokenize(run)
                run = ""
            tokens += part
        if run:
            tokens += self._vocabulary.tokenize(run)
        bos = self._vocabulary.bos
        if self._vocabulary.adds_bos and bos >= 0 and tokens[:1] != [bos]:
            tokens.insert(0, bos)
        return tokens

    def remember(self, answer: str, tokens: Sequence[int]) -> None:
        """Keep the sampled ``tokens`` of ``answer`` for prompts that repeat it.

        Only where they spell it exactly: no control token inside, no stop string or half character
        cut off its end.
        """
        tokens = [token for token in tokens if not self._vocabulary.ends_generation(token)]
        spelt = b"".join(self._vocabulary.piece(token) for token in tokens)
        if not answer or spelt != answer.encode() or not self._control_tokens.isdisjoint(tokens):
            return
        self._answers[answer] = tokens
        self._answers.move_to_end(answer)
        if len(self._answers) > _REMEMBERED_ANSWERS:
            self._answers.popitem(last=False)

    def _parts(self, prompt: Sequence[Segment]) -> Iterator[str | list[int]]:
        """Plain text, and tokens that are already known."""
        for segment in prompt:
            if not segment.special:
                yield self._answers.get(segment.text) or segment.text
                continue
            position = 0
            for match in self._pattern.finditer(segment.text) if self._pattern else ():
                yield segment.text[position : match.start()]
                yield [self._control[match.group()]]
                position = match.end()
            yield segment.text[position:]
