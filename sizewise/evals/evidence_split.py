"""Evidence split: which recorded prompts train a policy and which certify it, by their texts alone. Needs numpy.

The split is a function of the prompts: no seed, no score and no order of a file changes it, so it cannot be drawn
again until it suits. A bound holds for one split; the best of ten breaks its promise more often than it says.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sizewise.evals.prompt_groups import text_key
from sizewise.routing.training.trainer import MIN_LABELS, Ints

TRAINING_SHARE = 0.25  # of the groups; the others certify


def split_groups(
    texts: Sequence[str], groups: Sequence[int], training_share: float = TRAINING_SHARE
) -> tuple[Ints, Ints]:
    """The rows that train and the rows that certify; a group lies in one part.

    The order of the certifying rows is that of their groups' keys, which is independent of the scores. The key of a
    group is that of its alphabetically first text: large groups are no likelier than small ones to lie in either part.
    """
    first: dict[int, str] = {}
    for text, group in zip(texts, groups, strict=True):
        first[group] = min(text, first.get(group, text))
    ranked = sorted(first, key=lambda group: text_key(first[group]))
    place = {group: at for at, group in enumerate(ranked)}
    order = sorted(range(len(texts)), key=lambda row: (place[groups[row]], texts[row]))
    count = training_count(len(ranked), training_share)
    training = [row for row in order if place[groups[row]] < count]
    certifying = [row for row in order if place[groups[row]] >= count]
    return np.asarray(training, np.int64), np.asarray(certifying, np.int64)


def training_count(group_count: int, training_share: float = TRAINING_SHARE) -> int:
    """How many of so many independent prompts train."""
    return max(MIN_LABELS, round(training_share * group_count))
