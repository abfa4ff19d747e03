"""Finds passages that are nearly the same, by their runs of three words; knows no label and no source.

One permutation hashing (Li, Owen, Zhang 2012), rotated for empty bins (Shrivastava, Li 2014), compared by bands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from zlib import crc32

BINS = 64
BANDS = 16  # of BINS / BANDS bins each: two passages of which half is shared meet in one of them two times in three
ALIKE = 0.6  # of the runs are shared
RUN = 3  # words

Marks = tuple[int, ...]
"""BINS numbers; the share of equal ones estimates the share of runs that two passages share. Empty for no words."""


def marks(tokens: Sequence[Sequence[str]]) -> list[Marks]:
    return [_marks(each) for each in tokens]


def _marks(tokens: Sequence[str]) -> Marks:
    if not tokens:
        return ()
    least: list[int | None] = [None] * BINS
    for at in range(max(1, len(tokens) - RUN + 1)):
        mixed = crc32("\x1f".join(tokens[at : at + RUN]).encode("utf-8", "replace"))
        place, value = mixed % BINS, mixed // BINS
        known = least[place]
        if known is None or value < known:
            least[place] = value
    full = [value for value in least if value is not None]
    filled, after = list[int](), full[0]
    for known in reversed(least):
        after = after + (1 << 26) if known is None else known  # from the next bin that has one, told from its own
        filled.append(after)
    return tuple(filled)


def alike(one: Marks, other: Marks) -> float:
    """The share of runs that both have of those that either has, estimated, 0..1."""
    return sum(map(int.__eq__, one, other)) / BINS if one and other else 0.0


def copies(marks: Sequence[Marks], names: Sequence[str]) -> Iterator[tuple[int, str, float]]:
    """Which passages are nearly another, why, and how many there are of them."""
    leader = list(range(len(marks)))

    def lead(at: int) -> int:
        while leader[at] != at:
            leader[at] = leader[leader[at]]
            at = leader[at]
        return at

    width = BINS // BANDS
    for band in range(BANDS):
        met: dict[Marks, int] = {}
        for at, each in enumerate(marks):
            if each:
                first = met.setdefault(each[band * width : (band + 1) * width], at)
                if first != at and lead(first) != lead(at) and alike(marks[first], each) >= ALIKE:
                    low, high = sorted((lead(first), lead(at)))
                    leader[high] = low
    groups: dict[int, list[int]] = {}
    for at in range(len(marks)):
        groups.setdefault(lead(at), []).append(at)
    for first, group in groups.items():
        if len(group) > 1:
            for at in group:
                other = names[group[1] if at == first else first]
                yield at, f"one of {len(group)} passages that are nearly the same, as {other}", float(len(group))
