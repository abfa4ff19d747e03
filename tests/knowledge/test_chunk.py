"""Passages are stretches of their document that fit the embedder, know where they stand, and lose nothing of it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sizewise.knowledge.chunk import chunk_document
from sizewise.knowledge.document import Block, Document
from sizewise.knowledge.keyword_index import KeywordHasher, tokenize
from sizewise.knowledge.text_formats import read
from tests.growth import check_linear


def count(text: str) -> int:
    return len(text.split())


def markdown(text: str) -> Document:
    return read("markdown", text.encode(), "a.md")


def test_each_passage_knows_the_headings_above_it_and_its_characters() -> None:
    document = markdown(
        "# Leave\n\nIntro.\n\n## Norway\n\nTwenty five days.\n\n## Spain\n\nThirty days.\n\n# Tools\n\nAsk.",
    )
    found = chunk_document(document, count)
    assert [(each.headings, each.text) for each in found] == [
        (("Leave",), "Intro."),
        (("Leave", "Norway"), "Twenty five days."),
        (("Leave", "Spain"), "Thirty days."),
        (("Tools",), "Ask."),
    ]
    assert all(document.text[each.start : each.end] == each.text for each in found)
    assert found[1].text_with_headings("Handbook") == "Leave > Norway\nTwenty five days."


def test_a_passage_over_two_pages_says_both() -> None:
    document = Document("pdf", "T", [Block("paragraph", "One.", page=1), Block("paragraph", "Two.", page=2)], 2)
    (only,) = chunk_document(document, count)
    assert (only.first_page, only.last_page, only.text) == (1, 2, "One.\n\nTwo.")
    assert only.text_with_headings("T") == "T\nOne.\n\nTwo."


def test_long_text_is_cut_between_sentences_with_a_little_of_each_in_the_next() -> None:
    text = " ".join(f"Sentence number {n} has exactly seven words here." for n in range(60))
    found = chunk_document(markdown(text), count, max_tokens=50, overlap=10)
    assert all(each.tokens <= 50 for each in found)
    assert all(each.text.startswith("Sentence") for each in found)
    assert all(before.end > after.start for before, after in pairwise(found))


def test_a_heading_with_nothing_under_it_is_not_lost() -> None:
    texts = [each.text for each in chunk_document(markdown("# Only\n\n# Two\n\ntext\n\n## Last"), count)]
    assert texts == ["Only", "text", "Last"]


def test_something_without_gaps_is_cut_all_the_same() -> None:
    found = chunk_document(markdown("x" * 5_000), lambda text: len(text) // 2, max_tokens=100, overlap=0)
    assert "".join(each.text for each in found) == "x" * 5_000
    assert all(each.tokens <= 100 for each in found)


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("ab. \n#!?漢`-|"), max_size=400), st.integers(2, 40), st.integers(0, 10))
def test_no_word_is_lost_and_none_too_long(text: str, tokens: int, overlap: int) -> None:
    document = markdown(text)
    found = chunk_document(document, count, tokens, overlap)
    assert all(each.tokens <= tokens for each in found)
    assert all(document.text[each.start : each.end] == each.text for each in found)
    covered = set[int]()
    for each in found:
        covered.update(range(each.start, each.end))
    headings = {heading for each in found for heading in each.headings}
    for at, block in document.blocks_with_offsets():
        inside = (n for n in range(at, at + len(block.text)) if not document.text[n].isspace())
        assert block.text in headings or all(n in covered for n in inside)


@pytest.mark.parametrize("piece", ["word ", "word\n", "# "])
def test_cutting_takes_time_that_grows_with_the_document(piece: str) -> None:
    check_linear(lambda times: chunk_document(markdown(piece * times), count), 12_500)


def test_terms_are_the_keys_own_and_forgive_spelling() -> None:
    mine, other = KeywordHasher(b"k" * 32), KeywordHasher(b"o" * 32)
    assert mine("Policies, policy; POLICY") == {next(iter(mine("policy"))): 3}
    assert set(mine("café")) == set(mine("CAFE"))
    assert not set(mine("a text of some words")) & set(other("a text of some words"))
    assert list(tokenize("漢字文 ok")) == ["漢字", "字文", "ok"]
    assert mine.hash_text("x") != other.hash_text("x")
