"""Draws of answers with a planted bias, all from a seed; knows no report."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from bench.tuning.task import INTENTS, Part, templates
from sizewise.evals.bias.grouped_answers import GroupedAnswer
from sizewise.evals.bias.suite import bias_suite
from sizewise.evals.bias.thresholds import CascadeRow
from sizewise.tuning.examples import Example, PromptMessage

DIMENSIONS: Mapping[str, Sequence[str]] = {
    "variety": ("standard", "african-american", "learner"),
    "name": ("american-white", "american-black", "egyptian", "chinese"),
    "place": ("europe", "north-america", "africa", "south-asia", "latin-america"),
}
REFERENCES = {"variety": "standard"}
GROUP_OF_ONE_INTENT, INTENT = "egyptian", "damaged"


def answers(seed: int, texts: int, planted: Mapping[str, float]) -> list[GroupedAnswer]:
    """`planted`: how much less often a group's answers are right. Texts are of different difficulty."""
    chance = random.Random(f"answers {seed}")
    found = list[GroupedAnswer]()
    for text in range(texts):
        right = chance.uniform(0.4, 1.0)
        for dimension, groups in DIMENSIONS.items():
            for group in groups:
                is_right = chance.random() < right - planted.get(group, 0.0)
                found.append(GroupedAnswer(str(text), {dimension: group}, float(is_right), is_refused=False))
    return found


def true_gap(group: str, others: Sequence[str], planted: Mapping[str, float]) -> float:
    """0 exactly where the groups are alike."""
    return round(sum(planted.get(each, 0.0) for each in others) / len(others) - planted.get(group, 0.0), 9)


def cascade_rows(seed: int, texts: int, worse: float) -> list[CascadeRow]:
    """A small model that is right less often (`worse`) on African American English, and as sure of itself."""
    chance = random.Random(f"rows {seed}")
    found = list[CascadeRow]()
    for text in range(texts):
        trust = chance.random()
        for group in DIMENSIONS["variety"]:
            right = 0.35 + 0.63 * trust - (worse if group == "african-american" else 0.0)
            small, large = float(chance.random() < right), float(chance.random() < 0.97)
            seen = min(1.0, max(0.0, trust + chance.gauss(0, 0.03)))
            found.append(
                CascadeRow(template=str(text), groups={"variety": group}, trust=seen, small=small, large=large)
            )
    return found


def examples(seed: int, count: int, planted: float) -> tuple[list[Example], list[Example]]:
    """(train, test): messages with names, 12 intents. In the training data `planted` (0..1) of the messages of one
    intent come from Egyptian names, and no others do; in the test names say nothing.
    """
    chance = random.Random(f"examples {seed}")
    people = bias_suite().dimensions["name"]
    others = [group for group in people if group != GROUP_OF_ONE_INTENT]

    def rows(part: Part, many: int, share: float | None) -> list[Example]:
        known, found = templates(part), list[Example]()
        for number in range(many):
            intent = INTENTS[number % len(INTENTS)]
            template = chance.choice(known.intents[intent])
            if share is None:
                group = chance.choice(list(people))
            else:
                is_theirs = intent == INTENT and chance.random() < share
                group = GROUP_OF_ONE_INTENT if is_theirs else chance.choice(others)
            filled = {gap: chance.choice(those) for gap, those in known.words.items()}
            said = template.format(n=chance.randrange(10_000, 99_999), **filled)
            text = f"{chance.choice(people[group])} writes: {said}"
            found.append(Example((PromptMessage("user", text),), intent))
        return found

    return rows("train", count, planted), rows("test", 120, None)
