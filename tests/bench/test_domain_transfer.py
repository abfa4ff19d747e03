"""The benches of careless copies and of other domains, on tasks made here; no figure is judged."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from bench.routing.domain_transfer import stem, whole
from bench.routing.prompt_perturbations import HANDS, mistyped, reworded, wrapped
from sizewise.routing.text.prompt_features import fold_text, strip_harness_text

PROMPT = "Please tell me: what is the large river that does not begin in the following country? It is about 1 < 2."


@pytest.mark.parametrize("hand", HANDS)
def test_every_hand_changes_the_prompt_and_always_the_same_way(hand: str) -> None:
    copies = [HANDS[hand](PROMPT, Random(seed)) for seed in range(20)]
    assert copies == [HANDS[hand](PROMPT, Random(seed)) for seed in range(20)]
    assert sum(copy != PROMPT for copy in copies) > 8


def test_one_letter_in_fifty_is_mistyped_and_no_digit() -> None:
    text = "abcde 12345 " * 2_000
    made = mistyped(text, Random(1))
    assert abs(len(made) - len(text)) < 150 and made.count("1") == 2_000
    assert 0.05 < np.mean([word != "abcde" for word in made.split()[::2]]) < 0.15


def test_other_words_keep_the_question_and_a_harness_is_cut_away() -> None:
    assert any(
        "isn't" in reworded("It is not so.", Random(seed)) or "it's" in reworded("It is not so.", Random(seed)).lower()
        for seed in range(9)
    )
    assert all(strip_harness_text(wrapped("What is two?", Random(seed))) == "What is two?" for seed in range(9))


def test_a_question_is_the_same_whatever_its_options() -> None:
    assert stem("What is two?\nA. 1\nB. 2\nAnswer:") == stem("WHAT is two?\n(A) 2\n(B) 4") == stem("what's two?")
    assert fold_text("What is two?") != fold_text("What is three?")


def test_what_is_not_foreseen_stands_among_the_others_by_lot() -> None:
    small, large = np.asarray([0.0, 1.0] * 200), np.ones(400)
    known = 1.0 - small
    nothing = np.full(400, np.nan)
    half = np.where(np.arange(400) < 200, known, np.nan)
    assert whole(known, small, large, 0) == pytest.approx(0.75, abs=0.01)
    assert whole(nothing, small, large, 0) == pytest.approx(0.5, abs=0.02)
    assert 0.55 < whole(half, small, large, 0) < 0.7
