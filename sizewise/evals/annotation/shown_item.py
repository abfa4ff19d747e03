"""What an annotator sees of an item: the question, one answer or two in an order of their own, and the words. Pure.

Nothing of who answered, why it was picked, or what a judge or another person said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.evals.datasets.record_items import reply_text, request_item
from sizewise.settings.annotation import AnnotationSettings
from sizewise.telemetry.payload_log import LoggedPayload

FIRST, SECOND, EQUAL = "first", "second", "equal"
PAIR_WORDS = ("A", "B", "equal")
"""Of an item with two answers, whatever the scale of its queue."""
MAX_ANSWERS = 2
MAX_ITEM_BYTES = 1_000_000


class ItemContent(Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """Encrypted. Of a record it is empty: its contents are read when it is shown. `ref`: names the answer outside."""

    ref: str = ""
    input: Any = None
    answer: str = ""
    other: str | None = None
    expected: Any = None
    criteria: str = ""
    score: str = ""
    label: str | None = None

    @property
    def answers(self) -> tuple[str, ...]:
        return (self.answer,) if self.other is None else (self.answer, self.other)


class ShownItem(Struct, frozen=True, kw_only=True):
    """`options`: words by score. `expires`: unix ms."""

    id: str
    input: Any
    answers: tuple[str, ...]
    expected: Any
    criteria: str
    options: Mapping[str, tuple[str, ...]]
    expires: int


def read_content(item: object) -> ItemContent:
    """An item from elsewhere, such as a line of `eval label`. Raises BadRequest."""
    try:
        found = msgspec.convert(item, ItemContent)
    except msgspec.ValidationError as error:
        hint = 'use {"ref": ..., "input": ..., "answer": ...}, as `sizewise eval label` writes it'
        raise BadRequest(f"an item cannot be read: {error}", hint, param="items") from error
    if not (0 < len(found.ref) <= 200) or not found.input or len(msgspec.json.encode(found)) > MAX_ITEM_BYTES:
        raise BadRequest("an item needs a `ref` of 1 to 200 characters, and an input", "at most 1 MB", param="items")
    return found


def content_of_record(payload: LoggedPayload) -> ItemContent | None:
    """None if it is no whole chat."""
    asked = request_item(payload.request, is_masked=False)
    answer = reply_text(payload.response)
    return ItemContent(input=asked["input"], answer=answer) if asked is not None and answer else None


def is_swapped(item: str, person: str) -> bool:
    """Whether a person sees the second answer as A: a coin that falls the same way each time."""
    return bool(blake2b(f"{item}/{person}".encode("utf-8", "surrogatepass"), digest_size=1).digest()[0] & 1)


def shown_item(id: str, content: ItemContent, queue: AnnotationSettings, person: str, expires: int) -> ShownItem:
    answers = content.answers
    pair = len(answers) == MAX_ANSWERS
    return ShownItem(
        id=id,
        input=content.input,
        answers=answers[::-1] if pair and is_swapped(id, person) else answers,
        expected=content.expected,
        criteria=content.criteria,
        options={name: PAIR_WORDS if pair else words for name, words in queue.scores.items()},
        expires=expires,
    )


def chosen(id: str, is_pair: bool, words: Sequence[str], word: str, person: str) -> tuple[float, str]:
    """Value (0..1) and label of a chosen word. Of a pair: how good the first answer is beside the second. Raises
    BadRequest for another word.
    """
    known = [each.casefold() for each in (PAIR_WORDS if is_pair else words)]
    if word.casefold() not in known:
        raise BadRequest(f"{word[:100]!r} is not a word of this queue", f"use {', '.join(known)}", param="scores")
    place = known.index(word.casefold())
    if not is_pair:
        return place / (len(words) - 1), words[place]
    if place == len(PAIR_WORDS) - 1:
        return 0.5, EQUAL
    first = (place == 0) is not is_swapped(id, person)
    return (1.0, FIRST) if first else (0.0, SECOND)
