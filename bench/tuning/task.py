"""Task of the tuning bench: messages to a parcel service, 12 intents; the test has templates and words of its own."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

INSTRUCTIONS = "Name the intent of the message to a parcel service."

Part = Literal["train", "test"]


class _Intent(Struct):
    says: list[str]


class Templates(Struct):
    """`words`: by gap; `intents`: the templates of each."""

    words: dict[str, list[str]]
    intents: dict[str, list[str]]


def templates(part: Part) -> Templates:
    said = msgspec.toml.decode(Path(__file__).with_name("templates.toml").read_bytes())[part]
    words = msgspec.convert(said.pop("words"), dict[str, list[str]])
    return Templates(words, {name: msgspec.convert(row, _Intent).says for name, row in said.items()})


INTENTS: Sequence[str] = tuple(templates("test").intents)


def messages(count: int, seed: int, *, test: bool) -> list[tuple[str, str]]:
    """`count` distinct messages and their intents, as many of each intent as of the others. Of each intent all
    templates are used before one is used again.
    """
    part: Part = "test" if test else "train"
    chance, known, found = random.Random(f"{seed}/{part}"), templates(part), dict[str, str]()
    turns: Mapping[str, list[str]] = {intent: [] for intent in INTENTS}
    while len(found) < count:
        intent = INTENTS[len(found) % len(INTENTS)]
        if not turns[intent]:
            turns[intent].extend(chance.sample(known.intents[intent], len(known.intents[intent])))
        found[_written(chance, turns[intent].pop(), known.words)] = intent
    return list(found.items())


def _written(chance: random.Random, template: str, words: Mapping[str, Sequence[str]]) -> str:
    filled = {gap: chance.choice(those) for gap, those in words.items()}
    said = template.format(n=f"{chance.choice('ABKRX')}{chance.randrange(10_000, 99_999)}", **filled)
    said = said[0].upper() + said[1:]
    before = chance.choice(("", "", "", "Hello, ", "Hi. ", "Good morning! ", "Dear team, "))
    after = chance.choice(("", "", "", " Thanks.", " Regards", " Please answer soon.", " Thank you!"))
    return before + said + after
