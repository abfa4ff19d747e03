"""A new model joins a learnt router by one it is like and a few scores; the others stay as they were."""

from __future__ import annotations

import pytest

from sizewise.errors import BadRequest
from sizewise.routing.quality.predictor import Predictor, read, write
from sizewise.routing.training.onboarding import join
from sizewise.routing.training.trainer import learn
from tests.routing.test_trainer import labelled

EASY = "what is the capital of the country?"
HARD = "prove that the operator converges for every bounded sequence"


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    prompts, scores = labelled(300)
    return learn(prompts, scores, small="s", large="l")


def test_it_is_like_the_one_whose_answers_its_own_resemble(predictor: Predictor) -> None:
    prompts, scores = labelled(40)
    for name in ("s", "l"):
        found = join(predictor, "new", prompts, scores[name])
        assert found.like == name and abs(found.shift) < 0.8 and found.samples == 40


def test_the_shift_goes_as_far_as_the_scores_say(predictor: Predictor) -> None:
    few, many = (join(predictor, "new", [EASY] * count, [0.0] * count, like="s") for count in (3, 60))
    assert many.shift < few.shift < 0.0
    its = many.predictor(EASY)
    assert its is not None and its["new"] < 0.3 < 0.8 < its["s"]


def test_by_its_facts_alone_it_is_what_it_is_like(predictor: Predictor) -> None:
    found = join(predictor, "new", [], [], like="s").predictor
    for words in (EASY, HARD):
        its, before = found(words), predictor(words)
        assert its is not None and before is not None
        assert its["new"] == its["s"] == before["s"] and its["l"] == before["l"]
    assert read(write(found)) == found


@pytest.mark.parametrize(
    ("name", "like", "words"),
    [("s", "", "knows 's' already"), ("new", "x", "does not know 'x'"), ("new", "", "nothing is known of 'new'")],
)
def test_what_cannot_join_is_refused(predictor: Predictor, name: str, like: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        join(predictor, name, ["mitochondria ferment glucose"], [1.0], like)
