"""Split of a data set by cluster: parts by shares, by a hash, so that adding items moves none; reads no file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b

from sizewise.evals.runs.eval_items import EvalItem


def split_by_cluster(items: Sequence[EvalItem], shares: Mapping[str, float], salt: str) -> list[str]:
    """The part of each item. All items of a cluster are in one. `shares`: positive, of their sum. `salt`: another one
    splits otherwise.
    """
    whole = sum(shares.values())
    return [_part(each.cluster, shares, whole, salt) for each in items]


def _part(cluster: str, shares: Mapping[str, float], whole: float, salt: str) -> str:
    digest = blake2b(f"{salt}\0{cluster}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    place, reached = int.from_bytes(digest) / 2**64 * whole, 0.0
    for name, share in shares.items():
        reached += share
        if place < reached:
            return name
    return list(shares)[-1]
