"""Reads the committed questions and the texts that tier 0 may learn from; knows neither models nor replies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
QUESTIONS = HERE / "questions.jsonl"
TRAIN = HERE / "train.jsonl"
RECORDED = HERE / "recorded"
VECTORS = RECORDED / "vectors.jsonl"


@dataclass(frozen=True, slots=True)
class Question:
    """`check` as bench/first_light/check.py reads it; `reference`: a right answer, where the task is classification
    also the label; `text`: what is to be classified, empty for any other task.
    """

    id: str
    kind: str
    prompt: str
    check: Mapping[str, object] = field(hash=False)
    reference: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text that no model is asked about; `kind` is that of the questions it belongs to."""

    kind: str
    text: str
    label: str


def questions() -> list[Question]:
    return [Question(**json.loads(line)) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]


def train() -> list[Labelled]:
    return [Labelled(**json.loads(line)) for line in TRAIN.read_text(encoding="utf-8").splitlines()]


def classified() -> list[Question]:
    """The questions that are tasks of classification."""
    return [each for each in questions() if each.text]
