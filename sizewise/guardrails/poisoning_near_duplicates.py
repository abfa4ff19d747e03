"""Finds near-duplicate passages by MinHash of word trigrams. Ignores labels and sources.

One permutation hashing (Li, Owen, Zhang 2012), rotated for empty bins (Shrivastava, Li 2014), compared by bands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from zlib import crc32

HASH_COUNT = 64
BAND_COUNT = 16  # of HASH_COUNT / BAND_COUNT hashes each: passages of similarity 0.5 share a band two times in three
MIN_SIMILARITY = 0.6  # 0..1, share of shingles in common
SHINGLE_WORDS = 3  # words

MinHash = tuple[int, ...]
"""HASH_COUNT numbers. The share that two passages have in common estimates the Jaccard similarity of their shingles.
Empty if there are no words."""


def minhashes(tokens: Sequence[Sequence[str]]) -> list[MinHash]:
    return [_minhash(each) for each in tokens]


def _minhash(tokens: Sequence[str]) -> MinHash:
    if not tokens:
        return ()
    least: list[int | None] = [None] * HASH_COUNT
    for at in range(max(1, len(tokens) - SHINGLE_WORDS + 1)):
        mixed = crc32("\x1f".join(tokens[at : at + SHINGLE_WORDS]).encode("utf-8", "replace"))
        place, value = mixed % HASH_COUNT, mixed // HASH_COUNT
        known = least[place]
        if known is None or value < known:
            least[place] = value
    full = [value for value in least if value is not None]
    filled, after = list[int](), full[0]
    for known in reversed(least):
        after = after + (1 << 26) if known is None else known  # from the next filled bin, plus an offset per bin
        filled.append(after)
    return tuple(filled)


def estimated_similarity(one: MinHash, other: MinHash) -> float:
    """Estimated Jaccard similarity of the shingles, 0..1."""
    return sum(map(int.__eq__, one, other)) / HASH_COUNT if one and other else 0.0


def find_near_duplicates(hashes: Sequence[MinHash], names: Sequence[str]) -> Iterator[tuple[int, str, float]]:
    """Yields (index of the passage, reason, size of its group of near-duplicates)."""
    leader = list(range(len(hashes)))

    def lead(at: int) -> int:
        while leader[at] != at:
            leader[at] = leader[leader[at]]
            at = leader[at]
        return at

    width = HASH_COUNT // BAND_COUNT
    for band in range(BAND_COUNT):
        met: dict[MinHash, int] = {}
        for at, each in enumerate(hashes):
            if each:
                first = met.setdefault(each[band * width : (band + 1) * width], at)
                if (
                    first != at
                    and lead(first) != lead(at)
                    and estimated_similarity(hashes[first], each) >= MIN_SIMILARITY
                ):
                    low, high = sorted((lead(first), lead(at)))
                    leader[high] = low
    groups: dict[int, list[int]] = {}
    for at in range(len(hashes)):
        groups.setdefault(lead(at), []).append(at)
    for first, group in groups.items():
        if len(group) > 1:
            for at in group:
                other = names[group[1] if at == first else first]
                yield at, f"one of {len(group)} nearly identical passages, such as {other}", float(len(group))
