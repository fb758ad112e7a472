"""Prefixes and languages of known embedding models."""

import pytest

from localai_app.models.embedding_facts import EmbeddingFacts, facts_of

REPRESENT = "Represent this sentence for searching relevant passages: "


@pytest.mark.parametrize(
    ("name", "query", "passage", "german"),
    [
        ("all-MiniLM-L6-v2", "", "", False),
        ("All MiniLM L6 v2", "", "", False),
        ("nomic-embed-text-v1.5", "search_query: ", "search_document: ", False),
        ("nomic-embed-text-v2-moe", "search_query: ", "search_document: ", True),
        ("multilingual-e5-small", "query: ", "passage: ", True),
        ("e5-base-v2", "query: ", "passage: ", False),
        ("bge-small-en-v1.5", REPRESENT, "", False),
        ("bge-m3", "", "", True),
        ("bge-large-zh-v1.5", "为这个句子生成表示以用于检索相关文章：", "", False),
        ("mxbai-embed-large-v1", REPRESENT, "", False),
        ("snowflake-arctic-embed-m-v1.5", REPRESENT, "", False),
        ("snowflake-arctic-embed-l-v2.0", "query: ", "", True),
        ("embeddinggemma-300M", "task: search result | query: ", "title: none | text: ", True),
        ("Embeddinggemma 300m", "task: search result | query: ", "title: none | text: ", True),
        ("granite-embedding-125m-english", "", "", False),
        ("granite-embedding-107m-multilingual", "", "", True),
        ("something of our own", "", "", None),
    ],
)
def test_each_family_is_used_as_its_publisher_says(
    name: str, query: str, passage: str, german: bool | None
) -> None:
    facts = facts_of(name)
    assert (facts.query_prefix, facts.passage_prefix) == (query, passage)
    assert facts.knows("de") is german


def test_instructions_end_where_the_query_begins() -> None:
    task = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
    assert facts_of("Qwen3-Embedding-0.6B").query_prefix == task
    assert facts_of("multilingual-e5-large-instruct").query_prefix == f"{task} "


def test_the_headers_name_counts_before_the_files() -> None:
    assert facts_of("all-MiniLM-L6-v2", "nomic-embed") == facts_of("all-MiniLM-L6-v2")
    assert facts_of("", "nomic-embed-text-v1.5.f16").query_prefix == "search_query: "
    assert facts_of("", "") == EmbeddingFacts()
