"""Names by the extra: found with it, asked for in words without it."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from sizewise.errors import ConfigError
from sizewise.guardrails.base import GuardConfig
from sizewise.guardrails.named_entities import PIECE_CHARS, named_entity_guard
from sizewise.testing.guardrail_conformance import check_findings

there = pytest.mark.skipif(find_spec("spacy") is None, reason="needs the extra pii")


@pytest.mark.skipif(find_spec("spacy") is not None, reason="the extra is there")
def test_without_the_extra_the_guard_says_how_to_get_it() -> None:
    with pytest.raises(ConfigError) as refused:
        named_entity_guard(GuardConfig())
    assert "sizewise[pii]" in refused.value.hint


@there
def test_people_and_places_are_found_where_they_stand() -> None:
    text = "My name is Jane Doe and I moved from Berlin to Paris."
    found = {text[each.start : each.end]: each.kind for each in named_entity_guard(GuardConfig())(text)}
    assert found["Jane Doe"] == "PERSON" and found["Paris"] == "PLACE"


@there
def test_a_long_text_is_read_in_pieces_and_half_a_character_is_no_trouble() -> None:
    guard = named_entity_guard(GuardConfig())
    text = "\ud800 word " * (PIECE_CHARS // 4) + "My name is Jane Doe."
    check_findings(guard, text)
    assert "Jane Doe" in [text[each.start : each.end] for each in guard(text)]
