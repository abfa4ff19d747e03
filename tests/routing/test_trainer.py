"""A router learnt from labels: worth what it says, the same each time, silent where it knows nothing; reads the ask."""

from __future__ import annotations

import json
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from sizewise.errors import BadRequest
from sizewise.messages import ChatRequest, Message, Role
from sizewise.routing.quality.predictor import Predictor, decode_predictor, encode_predictor
from sizewise.routing.text.prompt_features import fold_text, guess_language, strip_harness_text, tokenize, user_text
from sizewise.routing.training.trainer import apgr_score, minimize_lbfgs, train_predictor

EASY = "what is the capital of the small country with many rivers and one large port"
HARD = "prove that the integral of the operator converges for every bounded sequence of matrices"


def labelled(count: int, told: float = 1.0, seed: int = 3) -> tuple[list[str], dict[str, list[float]]]:
    """Prompts of two kinds; the small model fails at the hard one, where the kind tells with the chance `told`."""
    chance, prompts, small = Random(seed), list[str](), list[float]()
    for _ in range(count):
        hard = chance.random() < 0.5
        prompts.append(" ".join(chance.choices((HARD if hard else EASY).split(), k=12)) + "?")
        small.append(float(not hard if chance.random() < told else chance.random() < 0.5))
    return prompts, {"s": small, "l": [1.0] * count}


@pytest.fixture(scope="module")
def trained() -> Predictor:
    prompts, scores = labelled(200)
    return train_predictor(
        prompts,
        scores,
        small_model="s",
        large_model="l",
        seed=1,
        date="2026-11-25",
        dataset_digest="abc",
    )


def gain(predictor: Predictor, prompt: str) -> float:
    found = predictor(prompt)
    assert found is not None
    return found["l"] - found["s"]


def test_it_sends_up_what_the_small_model_cannot_do(trained: Predictor) -> None:
    easy, hard = "what is the capital of the country?", "prove that the operator converges for every sequence"
    assert gain(trained, easy) < 0.2 < 0.6 < gain(trained, hard)
    assert trained.provenance.apgr.low > 0.5 and trained.provenance.label_count == 200


def test_fifty_labels_help_where_the_words_tell() -> None:
    prompts, scores = labelled(50)
    predictor = train_predictor(prompts, scores, small_model="s", large_model="l")
    assert predictor.provenance.apgr.low > max(0.5, predictor.provenance.length_baseline.apgr)


@pytest.mark.parametrize(
    "copy",
    [
        "Prove THAT the operator converges, for every sequence",
        "  prove that the óperator converges for every sequence ",
    ],
)
def test_a_careless_copy_of_a_question_is_the_same_question(trained: Predictor, copy: str) -> None:
    assert gain(trained, copy) == pytest.approx(
        gain(trained, "prove that the operator converges for every sequence"),
        abs=0.05,
    )


def test_it_abstains_where_chance_does_as_well() -> None:
    prompts, scores = labelled(200, told=0.0)
    predictor = train_predictor(prompts, scores, small_model="s", large_model="l")
    assert predictor(prompts[0]) is None and "not surely better than chance" in predictor.abstention_reason(prompts[0])


@pytest.mark.parametrize(
    ("prompt", "why"),
    [
        ("Was ist die Hauptstadt von Frankreich und warum ist sie nicht Lyon?", "language"),
        ("フランスの首都はどこですか", "language"),
        ("the mitochondria of yeast ferment glucose anaerobically under hypoxia", "another domain"),
    ],
)
def test_it_says_why_it_knows_nothing_of_a_prompt(trained: Predictor, prompt: str, why: str) -> None:
    assert trained(prompt) is None and why in trained.abstention_reason(prompt)


def test_the_same_labels_give_the_same_bytes_and_they_can_be_read(trained: Predictor) -> None:
    prompts, scores = labelled(200)
    again = train_predictor(
        prompts,
        scores,
        small_model="s",
        large_model="l",
        seed=1,
        date="2026-11-25",
        dataset_digest="abc",
    )
    assert encode_predictor(trained) == encode_predictor(again) and decode_predictor(encode_predictor(again)) == trained


@pytest.mark.parametrize("cut", [b"", b"{}", b'{"format": 1}', b"\xff"])
def test_what_is_no_router_is_refused(cut: bytes) -> None:
    with pytest.raises(BadRequest, match="not a valid predictor"):
        decode_predictor(cut)


@pytest.mark.parametrize("part", ["idf", "vocabulary", "word_weights", "surface_weights", "mean", "scale", "format"])
def test_a_router_that_was_cut_is_refused_before_it_is_asked(trained: Predictor, part: str) -> None:
    told = json.loads(encode_predictor(trained))
    if part == "vocabulary":
        told[part][next(iter(told[part]))] = 10**6
    elif part == "format":
        told[part] = 99
    else:
        of = {"idf": told, "mean": told["scale"], "scale": told["scale"]}.get(part, told["heads"]["l"])
        of[part].pop()
    with pytest.raises(BadRequest, match="incomplete"):
        decode_predictor(json.dumps(told).encode())


def test_few_labels_and_no_gap_are_refused_in_words() -> None:
    prompts, scores = labelled(60)
    with pytest.raises(BadRequest, match="39 labels are too few"):
        train_predictor(
            prompts[:39],
            {name: each[:39] for name, each in scores.items()},
            small_model="s",
            large_model="l",
        )
    with pytest.raises(BadRequest, match="is no better than"):
        train_predictor(prompts, {"s": [1.0] * 60, "l": [0.0] * 60}, small_model="s", large_model="l")


def test_the_area_of_the_best_order_is_above_that_of_the_worst() -> None:
    small, large = np.asarray([0.0, 1.0] * 50), np.ones(100)
    best, worst, lot = (apgr_score(rank, small, large) for rank in (1.0 - small, small, np.zeros(100)))
    assert (best.apgr, worst.apgr) == pytest.approx((0.75, 0.25))
    assert worst.high < lot.low < 0.5 < lot.high < best.low


def test_the_valley_is_found() -> None:
    def bowl(at: np.typing.NDArray[np.float64]) -> tuple[float, np.typing.NDArray[np.float64]]:
        return float(((at - 3.0) ** 2 * [1.0, 50.0]).sum()), 2 * (at - 3.0) * [1.0, 50.0]

    assert minimize_lbfgs(bowl, np.zeros(2)) == pytest.approx([3.0, 3.0], abs=1e-2)


# ---- what is read of a prompt


@pytest.mark.parametrize(
    "text",
    [
        "<system-reminder>\nBe hard.\n</system-reminder>What is two and two?",
        "What is two and two?\n<context file='x'>prove the operator</context>",
        "--- BEGIN FILE ---\nintegral\n--- END FILE ---\nWhat is two and two?",
    ],
)
def test_what_a_harness_puts_around_the_ask_is_not_read(text: str) -> None:
    assert strip_harness_text(text) == "What is two and two?"


@pytest.mark.parametrize("tag", ["<a-b>", "<context>", "--- begin\n"])
def test_what_begins_ten_thousand_times_and_never_ends_is_read_once(tag: str) -> None:
    end = "</other-tag>" if tag.startswith("<") else "--- end"
    text = f"What is two?\n{end}\n{tag * 100_000}"
    assert strip_harness_text(text) == text.strip()


def test_the_ask_is_the_last_words_of_a_person_and_no_result_of_a_tool() -> None:
    turns: list[tuple[Role, str]] = [
        ("user", "old"),
        ("user", "Mine <b>bold</b>"),
        ("assistant", "x"),
        ("tool", "y"),
        ("user", "<env-x>z</env-x>"),
    ]
    assert user_text(ChatRequest("m", [Message(role, text) for role, text in turns], {})) == "Mine <b>bold</b>"


@given(some.text(max_size=80))
def test_any_text_has_a_language_and_words(text: str) -> None:
    folded = fold_text(text)
    assert fold_text(folded) == folded or not text.isascii()
    assert guess_language(folded, tokenize(folded))


@pytest.mark.parametrize(
    ("text", "tongue"),
    [
        ("Which of the rivers is the longest?", "en"),
        ("Welcher der Flüsse ist nicht der längste und warum?", "de"),
        ("Quel est le plus long des fleuves et pourquoi?", "fr"),
        ("Какая река самая длинная", "cyrillic"),
        ("最長の川はどれですか", "ja"),
        ("x = f(3)", "none"),
    ],
)
def test_languages_are_told_apart(text: str, tongue: str) -> None:
    folded = fold_text(text)
    assert guess_language(folded, tokenize(folded)) == tongue
