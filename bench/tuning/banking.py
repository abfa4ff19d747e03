"""Twelve intents of BANKING77: real questions of bank customers, with the test questions of its authors."""

from __future__ import annotations

import csv
import random
from pathlib import Path

INSTRUCTIONS = "Name the intent of the question to a bank."
INTENTS_OF = 12


def rows(folder: Path, seed: int, *, test: bool) -> list[tuple[str, str]]:
    """Shuffled by the seed, each text once; the twelve intents are drawn by the same seed. `folder`: of the CSV files.
    No text of the test is among those to learn from.
    """
    train, held = _read(folder / "train.csv"), _read(folder / "test.csv")
    intents = set(random.Random(f"{seed}/intents").sample(sorted(set(train.values())), INTENTS_OF))
    chosen = held if test else {text: intent for text, intent in train.items() if text not in held}
    found = [(text, intent) for text, intent in chosen.items() if intent in intents]
    random.Random(f"{seed}/{test}").shuffle(found)
    return found


def _read(file: Path) -> dict[str, str]:
    with file.open(newline="", encoding="utf-8") as lines:
        return {row["text"].strip(): row["intent"] for row in csv.DictReader(lines)}
