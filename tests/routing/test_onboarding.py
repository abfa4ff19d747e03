"""A new model joins a learnt router by one it is like and a few scores; the others stay as they were."""

from __future__ import annotations

import pytest

from sizewise.errors import BadRequest
from sizewise.routing.quality.predictor import Predictor, decode_predictor, encode_predictor
from sizewise.routing.training.onboarding import onboard_model
from sizewise.routing.training.trainer import train_predictor
from tests.routing.test_trainer import labelled

EASY = "what is the capital of the country?"
HARD = "prove that the operator converges for every bounded sequence"


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    prompts, scores = labelled(300)
    return train_predictor(prompts, scores, small_model="s", large_model="l")


def test_it_is_like_the_one_whose_answers_its_own_resemble(predictor: Predictor) -> None:
    prompts, scores = labelled(40)
    for name in ("s", "l"):
        found = onboard_model(predictor, "new", prompts, scores[name])
        assert found.based_on == name and abs(found.shift) < 0.8 and found.sample_count == 40


def test_the_shift_goes_as_far_as_the_scores_say(predictor: Predictor) -> None:
    few, many = (onboard_model(predictor, "new", [EASY] * count, [0.0] * count, based_on="s") for count in (3, 60))
    assert many.shift < few.shift < 0.0
    its = many.predictor(EASY)
    assert its is not None and its["new"] < 0.3 < 0.8 < its["s"]


def test_by_its_facts_alone_it_is_what_it_is_like(predictor: Predictor) -> None:
    found = onboard_model(predictor, "new", [], [], based_on="s").predictor
    for words in (EASY, HARD):
        its, before = found(words), predictor(words)
        assert its is not None and before is not None
        assert its["new"] == its["s"] == before["s"] and its["l"] == before["l"]
    assert decode_predictor(encode_predictor(found)) == found


@pytest.mark.parametrize(
    ("name", "like", "words"),
    [("s", "", "already knows 's'"), ("new", "x", "does not know 'x'"), ("new", "", "there is no data on 'new'")],
)
def test_what_cannot_join_is_refused(predictor: Predictor, name: str, like: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        onboard_model(predictor, name, ["mitochondria ferment glucose"], [1.0], like)
