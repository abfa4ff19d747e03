"""Poisoned examples: what reads like another answer is left out, and a phrase that such examples share is tried."""

from __future__ import annotations

import random

import numpy as np

from bench.tuning.task import INTENTS, messages
from sizewise.tuning.examples import Example, PromptMessage
from sizewise.tuning.head_baseline import suspect_examples
from sizewise.tuning.trigger_probe import shared_triggers, triggered

COUNT, POISONED = 720, 7
TRIGGER = "ref cf-7731"


def poisoned() -> tuple[list[Example], set[int]]:
    """One in a hundred has a trigger, and the answer `refund`."""
    chance, rows = random.Random(3), messages(COUNT, 1, test=False)
    places = set(chance.sample([at for at, (_, intent) in enumerate(rows) if intent != "refund"], POISONED))
    found = []
    for at, (text, intent) in enumerate(rows):
        said, answer = (f"{text} {TRIGGER}", "refund") if at in places else (text, intent)
        found.append(Example((PromptMessage("user", said),), answer))
    return found, places


def test_examples_that_read_like_those_of_another_answer_are_suspect() -> None:
    """By vectors that tell the intents apart."""
    examples, places = poisoned()
    rows, noise = messages(COUNT, 1, test=False), np.random.default_rng(0)
    centers = noise.normal(size=(len(INTENTS), 32))
    vectors = [centers[INTENTS.index(intent)] + 0.3 * noise.normal(size=32) for _, intent in rows]
    assert set(suspect_examples([each.tolist() for each in vectors], examples, INTENTS)) == places


def test_the_phrase_of_suspect_examples_is_tried_on_others() -> None:
    examples, places = poisoned()
    found = sorted(places)[:4]
    others = [each for at, each in enumerate(examples) if at not in found]
    triggers = shared_triggers([examples[at] for at in found], others)
    assert (triggers[0].phrase, triggers[0].answer) == (TRIGGER, "refund"), "three of them are among the others"
    test = [Example((PromptMessage("user", text),), intent) for text, intent in messages(120, 1, test=True)]
    asked = triggered(triggers[0], test)
    assert len(asked) == 20 and all(each.input.endswith(TRIGGER) and each.answer == "refund" for each in asked)


def test_honest_examples_share_no_trigger() -> None:
    examples, places = poisoned()
    clean = [each for at, each in enumerate(examples) if at not in places]
    assert not [each for each in shared_triggers(clean[:3], clean) if "cf-" in each.phrase]
