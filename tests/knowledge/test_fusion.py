"""Hybrid search follows whichever of vector and words knows better, whatever the model and however many candidates."""

from __future__ import annotations

import pytest

from sizewise.knowledge.fusion import fuse_scores

FAR = {f"far {number}": 0.02 * (number % 5) for number in range(40)}
"""What has nothing to do with the question."""


def best(cosines: dict[str, float], keyword_scores: dict[str, float], words: int, alpha: float = 0.5) -> str:
    return next(iter(fuse_scores(FAR | cosines, keyword_scores, words=words, alpha=alpha, limit=5)))


def test_a_title_that_is_all_in_one_passage_is_found_though_others_mean_about_the_same() -> None:
    cosines = {"other": 0.62, "right": 0.48, "third": 0.55}
    assert best(cosines, {"right": 21.0, "other": 6.0, "third": 5.0}, words=3) == "right"


def test_an_identifier_wins_against_what_only_resembles_it() -> None:
    assert best({"asdict": 0.31, "as_tuple": 0.52}, {"asdict": 11.0}, words=1) == "asdict"


def test_a_paraphrase_wins_against_the_common_words_of_a_question() -> None:
    cosines = {"paraphrase": 0.74, "how do I": 0.12}
    assert best(cosines, {"how do I": 4.5, "paraphrase": 0.0, "far 3": 4.0}, words=8) == "paraphrase"


def test_words_without_a_match_leave_the_order_to_the_vector() -> None:
    fused = list(fuse_scores(FAR | {"near": 0.5, "next": 0.4}, {}, words=4, alpha=0.5, limit=2))
    assert fused == ["near", "next"]


@pytest.mark.parametrize("narrow", [0.3, 0.6, 0.9])
def test_a_model_whose_cosines_are_all_high_counts_as_much(narrow: float) -> None:
    cosines = FAR | {"a": 0.7, "b": 0.3, "c": 0.5}
    words = {"b": 9.0, "c": 4.0, "far 7": 3.0}
    wide = fuse_scores(cosines, words, words=3, alpha=0.5, limit=6)
    high = {id: narrow + (1 - narrow) * cosine for id, cosine in cosines.items()}
    assert list(fuse_scores(high, words, words=3, alpha=0.5, limit=6)) == list(wide)


def test_more_candidates_that_are_unrelated_do_not_change_the_order() -> None:
    cosines = {"a": 0.7, "b": 0.3, "c": 0.5, "d": 0.45}
    words = {"b": 9.0, "c": 4.0}
    few = fuse_scores(FAR | cosines, words, words=3, alpha=0.5, limit=4)
    more = {f"more {number}": 0.01 * (number % 9) for number in range(200)}
    assert list(fuse_scores(FAR | cosines | more, words, words=3, alpha=0.5, limit=4)) == list(few)


@pytest.mark.parametrize("alpha", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("cosine", [-1.0, 0.0, 1.0])
def test_scores_are_between_0_and_1_whatever_comes(alpha: float, cosine: float) -> None:
    for cosines in ({}, {"a": cosine}, {"a": cosine, "b": cosine}, {"a": cosine, "b": 0.2, "c": -0.3}):
        for words in ({}, {"a": 0.0}, {"a": 1e6}, {"a": 1e-9}):
            scores = list(fuse_scores(cosines, words, words=0, alpha=alpha, limit=10).values())
            assert len(scores) == len(cosines) and scores == sorted(scores, reverse=True)
            assert all(0 <= score <= 1 for score in scores)
