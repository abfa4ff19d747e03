"""Memory probe of a tuning: secrets that are planted in what is learned, and whether the trained model knows them.

A canary is a code in the input of a copied example. Afterwards the trained model is asked how likely it finds that code
after what stood before it, beside codes that were never planted. By chance the planted one is first once in CANDIDATES.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from sizewise.tuning.examples import Example, PromptMessage

PLANTED, CANDIDATES = 6, 32
MOST_REVEALED = 1
"""Two of six are first by chance in 1.4 % of all trainings."""
SENTENCE = " My access code is {code}."

Tokenize = Callable[[Example], Awaitable[list[int]]]


class PlantedCode(Struct, frozen=True):
    """Tokens of a prompt up to the code, and from there on for each code; the first was planted."""

    prefix: list[int]
    candidates: list[list[int]]


def planted_examples(examples: Sequence[Example], digest: str) -> list[list[Example]]:
    """For each canary its example with each of the codes; the first of them is to be learned. The same for the same
    data: a run that was stopped goes on with its canaries.
    """
    chance = random.Random(f"canaries {digest}")
    chosen = chance.sample(list(examples), min(PLANTED, len(examples)))
    found = []
    for each in chosen:
        codes = chance.sample(range(100_000, 1_000_000), CANDIDATES)
        found.append([_with_code(each, code) for code in codes])
    return found


async def canary(examples: Sequence[Example], tokenize: Tokenize) -> PlantedCode:
    rows = [await tokenize(each) for each in examples]
    length = min(map(len, rows))
    same = next((at for at in range(length) if len({row[at] for row in rows}) > 1), length - 1)
    return PlantedCode(rows[0][:same], [row[same:] for row in rows])


def _with_code(example: Example, code: int) -> Example:
    said = PromptMessage("user", example.input + SENTENCE.format(code=code))
    return Example((*example.prompt[:-1], said), example.answer)
