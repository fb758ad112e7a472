"""all-MiniLM-L6-v2 once more, in numpy from the publisher's own files: what its vectors have to be.

Shares nothing with the app: the tokeniser is written after BERT's (lower case, no accents, WordPiece), the
forward pass after the model's own configuration, the weights are the original safetensors.
"""

import json
import struct
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

LAYERS, HEADS, MOST_TOKENS = 6, 12, 512


class Oracle:
    """Texts → vectors of length 1."""

    def __init__(self, folder: Path) -> None:
        words = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
        self._numbers = {word: number for number, word in enumerate(words)}
        data = (folder / "model.safetensors").read_bytes()
        (length,) = struct.unpack_from("<Q", data)
        self._tensors: dict[str, Any] = {}
        for name, told in json.loads(data[8 : 8 + length]).items():
            if name != "__metadata__" and told["dtype"] == "F32":
                start, end = (8 + length + offset for offset in told["data_offsets"])
                self._tensors[name] = np.frombuffer(data[start:end], "<f4").reshape(told["shape"])

    def tokens(self, text: str) -> list[int]:
        """Numbers of the word pieces, [CLS] and [SEP] included."""
        pieces = [piece for word in _words(text) for piece in self._pieces(word)]
        return [self._numbers[piece] for piece in ("[CLS]", *pieces, "[SEP]")]

    def vector(self, text: str) -> Any:
        """384 numbers."""
        tokens = self.tokens(text)
        assert len(tokens) <= MOST_TOKENS, "the model reads no more"
        t = self._tensors
        x = t["embeddings.word_embeddings.weight"][tokens]
        x = x + t["embeddings.position_embeddings.weight"][: len(tokens)]
        x = self._norm(x + t["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for layer in range(LAYERS):
            p = f"encoder.layer.{layer}."
            q, k, v = (self._heads(self._linear(x, f"{p}attention.self.{name}")) for name in _QKV)
            scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            seen = (weights / weights.sum(axis=-1, keepdims=True)) @ v
            seen = seen.transpose(1, 0, 2).reshape(x.shape)
            attended = self._linear(seen, f"{p}attention.output.dense")
            x = self._norm(x + attended, f"{p}attention.output.LayerNorm")
            thought = self._linear(_gelu(self._linear(x, f"{p}intermediate.dense")), f"{p}output.dense")
            x = self._norm(x + thought, f"{p}output.LayerNorm")
        mean = x.mean(axis=0)
        return mean / np.linalg.norm(mean)

    def _pieces(self, word: str) -> list[str]:
        pieces, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = ("##" if start else "") + word[start:end]
                if piece in self._numbers:
                    break
            else:
                return ["[UNK]"]
            pieces.append(piece)
            start = end
        return pieces

    def _linear(self, x: Any, name: str) -> Any:
        return x @ self._tensors[f"{name}.weight"].T + self._tensors[f"{name}.bias"]

    def _norm(self, x: Any, name: str) -> Any:
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-12)
        return x * self._tensors[f"{name}.weight"] + self._tensors[f"{name}.bias"]

    def _heads(self, x: Any) -> Any:
        return x.reshape(len(x), HEADS, -1).transpose(1, 0, 2)


_QKV = ("query", "key", "value")


def _gelu(x: Any) -> Any:
    # The error function after Abramowitz and Stegun 7.1.26, right to 1.5e-7.
    z = np.abs(x) / np.sqrt(2)
    t = 1 / (1 + 0.3275911 * z)
    factors = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
    erf = 1 - np.polyval((*factors, 0), t) * np.exp(-z * z)
    return 0.5 * x * (1 + np.sign(x) * erf)


def _words(text: str) -> Iterator[str]:
    plain = "".join(
        character
        for character in unicodedata.normalize("NFD", text.lower())
        if unicodedata.category(character) != "Mn"
    )
    word = ""
    for character in plain:
        if character.isspace() or _alone(character):
            if word:
                yield word
            word = ""
            if not character.isspace():
                yield character
        elif unicodedata.category(character)[0] != "C" and character != "\ufffd":
            word += character
    if word:
        yield word


def _alone(character: str) -> bool:
    """Punctuation and Chinese characters are words of their own."""
    code = ord(character)
    symbol = code < 128 and not character.isalnum() and not character.isspace() and code > 32
    chinese = 0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF or 0x20000 <= code <= 0x2FA1F
    return symbol or chinese or unicodedata.category(character).startswith("P")
