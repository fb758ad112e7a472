"""What the publishers of embedding models say about using them, which no model file tells.

A model that was trained with words in front of a query and of a passage finds worse without them. The
values are those of the published model cards and configurations; the first row whose pattern is found in
a model's name counts. A model that no row knows gets no prefixes, and nothing is claimed about its
languages.
"""

import re
from dataclasses import dataclass

MANY = ("*",)
"""Trained on about a hundred languages."""
ENGLISH = ("en",)

_REPRESENT = "Represent this sentence for searching relevant passages: "
_RETRIEVE = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"


@dataclass(frozen=True)
class EmbeddingFacts:
    """How one family of models wants to be used."""

    query_prefix: str = ""
    passage_prefix: str = ""
    languages: tuple[str, ...] = ()
    """ISO 639-1 codes, or `MANY`; empty: unknown."""
    usual_tokens: int = 0
    """Tokens of a passage that the model is made for, where it can read more; 0: as many as it can read."""

    def knows(self, language: str) -> bool | None:
        """Whether texts in ``language`` (an ISO 639-1 code) are understood; None: nobody said."""
        if not self.languages:
            return None
        return self.languages == MANY or language in self.languages


_FAMILIES: tuple[tuple[str, EmbeddingFacts], ...] = (
    (r"all-minilm", EmbeddingFacts(languages=ENGLISH, usual_tokens=256)),
    (r"paraphrase-multilingual", EmbeddingFacts(languages=MANY, usual_tokens=128)),
    (
        r"nomic-embed-text-v2",
        EmbeddingFacts("search_query: ", "search_document: ", languages=MANY),
    ),
    (r"nomic-embed", EmbeddingFacts("search_query: ", "search_document: ", languages=ENGLISH)),
    (r"multilingual-e5.*instruct", EmbeddingFacts(f"{_RETRIEVE} ", languages=MANY)),
    (r"e5-mistral", EmbeddingFacts(f"{_RETRIEVE} ", languages=ENGLISH)),
    (r"multilingual-e5", EmbeddingFacts("query: ", "passage: ", languages=MANY)),
    (r"\be5-(small|base|large)", EmbeddingFacts("query: ", "passage: ", languages=ENGLISH)),
    (r"bge-m3", EmbeddingFacts(languages=MANY)),
    (
        r"bge-(small|base|large)-zh",
        EmbeddingFacts("为这个句子生成表示以用于检索相关文章：", languages=("zh",)),
    ),
    (r"bge-(small|base|large)", EmbeddingFacts(_REPRESENT, languages=ENGLISH)),
    (r"mxbai-embed", EmbeddingFacts(_REPRESENT, languages=ENGLISH)),
    (r"arctic-embed.*v2", EmbeddingFacts("query: ", languages=MANY)),
    (r"arctic-embed", EmbeddingFacts(_REPRESENT, languages=ENGLISH)),
    (
        r"embedding-?gemma",
        EmbeddingFacts("task: search result | query: ", "title: none | text: ", languages=MANY),
    ),
    (r"qwen3-embedding", EmbeddingFacts(_RETRIEVE, languages=MANY)),
    (r"granite-embedding.*english", EmbeddingFacts(languages=ENGLISH)),
    (
        r"granite-embedding.*multilingual",
        EmbeddingFacts(languages=("en", "de", "es", "fr", "ja", "pt", "ar", "cs", "it", "ko", "nl", "zh")),
    ),
    (r"jina-embeddings-v2-base-(en|code)", EmbeddingFacts(languages=ENGLISH)),
    (r"\bgte-(small|base|large)", EmbeddingFacts(languages=ENGLISH)),
)


def facts_of(*names: str) -> EmbeddingFacts:
    """Facts of a model from what its header and its file call it, the better known name first."""
    for name in names:
        plain = re.sub(r"[\s_]+", "-", name.lower())
        for pattern, facts in _FAMILIES:
            if re.search(pattern, plain):
                return facts
    return EmbeddingFacts()
