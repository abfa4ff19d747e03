"""Fusion of the cosines and BM25 scores of hybrid search to one score; knows no store and no text.

Both scores of every candidate are needed: with 0 for those that only one half found, ranking depends on how many each
half returns, and a passage just below the cut counts as unrelated. Neither is scaled to 0..1 per query, as Weaviate's
relativeScoreFusion does: the best of a half that found nothing good would then count as much as an exact match.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from sizewise.knowledge.vector_store import MAX_HITS

MIN_CANDIDATES = 60
VECTOR_SCALE = 1.4
"""A passage as near as the query itself counts this much. These two are measured: bench/knowledge/README.md."""
WORD_SCORE = 6.0
"""BM25 per word of the query that counts as a match of all its words."""
MIN_SPAN = 0.05
"""Least distance from the least similar candidate to the query itself, in cosines; less is rounding."""


def candidate_limit(limit: int) -> int:
    """Hits that each half of a hybrid search must return, so that passages good in both are included."""
    return min(MAX_HITS, max(MIN_CANDIDATES, 3 * limit))


def fuse_scores(
    cosines: Mapping[str, float],
    keyword_scores: Mapping[str, float],
    *,
    words: int,
    alpha: float,
    limit: int,
) -> dict[str, float]:
    """Scores 0..1 of the best `limit` ids, best first. `cosines`: of all candidates; an id without a keyword score has
    none of the words. `words`: distinct words of the query. `alpha`: 1 weighs cosines only, 0 keyword scores only.
    """
    if not cosines:
        return {}
    unrelated = min(cosines.values())  # depends on the model: about 0, or 0.7
    span = max(1.0 - unrelated, MIN_SPAN)
    best = max(keyword_scores.values(), default=0.0)
    # Half by what the words are worth, so that a match of common words says little; half by the best match, because
    # inverse document frequencies grow with the base.
    whole = math.sqrt(best * WORD_SCORE * max(words, 1)) or 1.0
    fused = {
        id: alpha * VECTOR_SCALE * (cosine - unrelated) / span + (1 - alpha) * keyword_scores.get(id, 0.0) / whole
        for id, cosine in cosines.items()
    }
    order = sorted(fused, key=lambda id: (-fused[id], id))[:limit]
    return {id: max(fused[id], 0.0) / (1 + max(fused[id], 0.0)) for id in order}
