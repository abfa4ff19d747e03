"""Signals of recorded small answers, with each prompt's odds from a predictor that has not seen it; needs numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np

from sizewise.evals.outcomes import Column
from sizewise.routing.features import plain
from sizewise.routing.learn import Floats, Ints, Rows, Words, head
from sizewise.routing.signals import Signals


@dataclass(frozen=True)
class Answered:
    """Prompts that a small and a large model answered, with how good that was (0..1), and what the small one said.

    `rows` are their places in the columns. `agrees`: with a second small model; None where that is not known.
    """

    prompts: Sequence[str]
    small: Floats
    large: Floats
    column: Column
    rows: Sequence[int]
    agrees: Sequence[bool | None]

    @property
    def texts(self) -> list[str]:
        return [plain(prompt) for prompt in self.prompts]

    def signals(self, each: int, odds: Floats) -> Signals:
        """Of one of them, given its log-odds by the prompt (small, large)."""
        row, its = self.rows[each], self.column
        said = its.answer[row]
        return Signals(
            float(odds[0]),
            float(odds[1]),
            self.agrees[each],
            None if isnan(its.confidence[row]) else its.confidence[row],
            None if isnan(its.least[row]) else its.least[row],
            its.tokens_out[row],
            said is not None and not said.strip(),
            its.finish[row] == "length",
        )


def odds(seen: Words, rows: Rows, small: Floats, large: Floats) -> Floats:
    """Log-odds of a good answer of both models, (n, 2), by what was learnt from `seen` and its scores."""
    return np.stack([rows.odds(head(seen.own, good)) for good in (small, large)], axis=1)


def odds_of(asked: Answered, texts: Sequence[str], learnt_from: Ints, of: Ints) -> Floats:
    seen = Words([texts[each] for each in learnt_from])
    rows = seen.rows([texts[each] for each in of])
    return odds(seen, rows, asked.small[learnt_from], asked.large[learnt_from])


def crossed(asked: Answered, texts: Sequence[str], some: Ints, seed: int) -> list[Signals]:
    """Signals of `some`: half of them judged by what the other half taught, and the other way round."""
    half = np.random.default_rng(seed).permutation(len(some)) % 2 == 0
    found = np.zeros((len(some), 2))
    for mine in (half, ~half):
        found[mine] = odds_of(asked, texts, some[~mine], some[mine])
    return [asked.signals(int(each), its) for each, its in zip(some, found, strict=True)]


def gains(found: Floats) -> Floats:
    """P(large good) - P(small good) from odds, -1..1."""
    chances = 1.0 / (1.0 + np.exp(-found))
    gain: Floats = chances[:, 1] - chances[:, 0]
    return gain
