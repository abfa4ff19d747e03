"""A careless copy of a prompt: what is folded away before anything is learnt or predicted; pure."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sizewise.routing.text.prompt_features import collapse_doubled, fold_text, tokenize


@pytest.mark.parametrize(
    "copy",
    [
        "Please, what's the largest river that isn't in Asia?",
        "Can you tell me what is the largest river that is not in Asia? Thanks!",
        "Hello! WHAT\u2019S the largest river that isn\u2019t in Asia?",
        "what is the larrgest riverr that is nott in Asia?",
    ],
)
def test_courtesy_contractions_and_doubled_letters_are_the_same_question(copy: str) -> None:
    as_it_is = "What is the largest river that is not in Asia?"
    assert collapse_doubled(tokenize(fold_text(copy))) == collapse_doubled(tokenize(fold_text(as_it_is)))


@pytest.mark.parametrize("kept", ["newton's second law", "shi in japanese", "ohio is high"])
def test_what_is_no_courtesy_stays(kept: str) -> None:
    assert fold_text(kept) == kept


@given(some.text(alphabet="ab09 _-\t\x00\x1c.", max_size=20))
def test_words_of_ascii_are_the_words_of_any_text(text: str) -> None:
    assert tokenize(text) == tokenize(f"{text} \u3042")[:-1]


@given(some.lists(some.text(alphabet="abc", min_size=1, max_size=6), max_size=6))
def test_doubled_letters_are_one_and_words_stay_apart(spelt: list[str]) -> None:
    single = collapse_doubled(spelt)
    assert len(single) == len(spelt) and collapse_doubled(single) == single
    assert not any(one == two for word in single for one, two in pairwise(word))
