"""Settings of annotation queues: what people label, by which words, and which answers are added; adds none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sizewise.settings.toml_reader import setting

SCORE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
WORD = re.compile(r"[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,62}[^\s\x00-\x1f\x7f])?")
MAX_WORDS = 9
"""One key each."""


@dataclass(frozen=True, slots=True)
class AnnotationSettings:
    """An annotation queue: answers that people label without seeing who gave them."""

    rubric: str = setting("", "What annotators judge by, with examples.")
    scores: Mapping[str, tuple[str, ...]] = setting(
        MappingProxyType({}), "Scores to give, each with 2 to 9 words, the worst first, such as no and yes."
    )
    labels: int = setting(
        1, "People who label an item. One in ten items drawn at random goes to two.", minimum=1, maximum=10
    )
    wanted: int = setting(200, "Blind labels that calibrate a judge.", minimum=1, maximum=1_000_000)
    random: float = setting(
        0.0, "Share of the answered requests to add at random, which alone calibrate a judge.", minimum=0, maximum=1
    )
    thumbs_down: bool = setting(False, "Add answers that a user gave a score below 0.5.")
    unsure: tuple[float, ...] = setting(
        (), "Add answers that a judge gave a score from the first to the second of these, such as `[0.4, 0.6]`.",
        minimum=0, maximum=1,
    )  # fmt: skip
    max_items: int = setting(50_000, "Maximum number of open items; no more are added.", minimum=1, maximum=1_000_000)
    claim_s: float = setting(
        600.0, "Seconds for which an item is held for one annotator after they were last active.", minimum=1,
        maximum=86_400,
    )  # fmt: skip


def annotation_contradictions(queues: Mapping[str, AnnotationSettings], keeps_contents: bool) -> Iterator[str]:
    """Errors that only several keys together show."""
    for name, queue in queues.items():
        if not queue.rubric.strip():
            yield f"annotation.{name}.rubric: is missing: what annotators judge by"
        if not queue.scores:
            yield f"annotation.{name}.scores: is missing, such as {{resolved = ['no', 'yes']}}"
        for score, words in queue.scores.items():
            where = f"annotation.{name}.scores.{score}"
            if not SCORE_NAME.fullmatch(score):
                yield f"{where}: is not one word of lower-case letters, digits, '-' and '_'"
            if not 2 <= len({each.casefold() for each in words}) == len(words) <= MAX_WORDS:
                yield f"{where}: needs 2 to {MAX_WORDS} different words"
            yield from (
                f"{where}: {each[:40]!r} is not 1 to 64 characters" for each in words if not WORD.fullmatch(each)
            )
        if queue.unsure and not (len(queue.unsure) == 2 and queue.unsure[0] <= queue.unsure[1]):
            yield f"annotation.{name}.unsure: needs two numbers, the lower one first"
        if (queue.random or queue.thumbs_down or queue.unsure) and not keeps_contents:
            yield f"annotation.{name}: adds stored answers, so [records] needs `contents = true`"
