"""Signals of recorded small answers, with each prompt's odds from a predictor that has not seen it; needs numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from sizewise.errors import BadRequest
from sizewise.evals.outcomes import Column, Outcomes, heard
from sizewise.routing.quality.answer_signals import Signals, agreed
from sizewise.routing.text.prompt_features import plain
from sizewise.routing.training.trainer import FEWEST, Floats, Ints, Rows, Words, head


@dataclass(frozen=True)
class Answered:
    """Prompts that every model answered. `good`: how well, 0..1, (n, models), the small ones in the order of asking and
    the large one last. `columns` are the small ones', `rows` the prompts' places in them."""

    prompts: Sequence[str]
    good: Floats
    columns: tuple[Column, ...]
    rows: Sequence[int]

    @property
    def texts(self) -> list[str]:
        return [plain(prompt) for prompt in self.prompts]

    @property
    def small(self) -> Floats:
        """Of the first small model."""
        first: Floats = self.good[:, 0]
        return first

    @property
    def large(self) -> Floats:
        last: Floats = self.good[:, -1]
        return last

    def signals(self, each: int, odds: Floats, asked: int) -> Signals:
        """Of one of them after `asked` small models, given the log-odds of all models by the prompt."""
        row, asking = self.rows[each], self.columns[:asked]
        said = tuple(replace(heard(its, row), odds=float(odds[place])) for place, its in enumerate(asking))
        return Signals(said, float(odds[-1]), agreed(tuple(its.answer[row] for its in asking)))

    def agrees(self, each: int) -> bool | None:
        return agreed(tuple(its.answer[self.rows[each]] for its in self.columns[:2]))


def answered(outcomes: Outcomes, small: Sequence[str], large: str, *, once: bool = False) -> Answered:
    """`once`: a prompt that comes again is left out; the same question twice is one piece of evidence, not two.

    Raises BadRequest for a model that nobody asked or that is named twice, or where all answered too few prompts.
    """
    names = [*small, large]
    if len(set(names)) < len(names):
        raise BadRequest(f"a model is named twice among {', '.join(names)}", "name different ones")
    rows = outcomes.answered(*names)
    if once:
        rows = sorted({plain(outcomes.prompts[row]): row for row in reversed(rows)}.values())
    if len(rows) < 2 * FEWEST:
        said = ", ".join(map(repr, small))
        hint = f"label {2 * FEWEST - len(rows)} more: half of them teach, half prove"
        raise BadRequest(f"{len(rows)} different prompts were answered by all of {said} and {large!r}", hint)
    columns = tuple(outcomes.column(name) for name in (*small, large))
    good = np.asarray([[its.score[row] for its in columns] for row in rows])
    return Answered([outcomes.prompts[row] for row in rows], good, columns[:-1], rows)


def odds(seen: Words, rows: Rows, good: Floats) -> Floats:
    """Log-odds of a good answer of every model, (n, models), by what was learnt from `seen` and its scores."""
    return np.stack([rows.odds(head(seen.own, good[:, model])) for model in range(good.shape[1])], axis=1)


def odds_of(asked: Answered, texts: Sequence[str], learnt_from: Ints, of: Ints) -> Floats:
    seen = Words([texts[each] for each in learnt_from])
    return odds(seen, seen.rows([texts[each] for each in of]), asked.good[learnt_from])


def crossed(asked: Answered, texts: Sequence[str], some: Ints, seed: int) -> Floats:
    """Log-odds of `some`: half of them judged by what the other half taught, and the other way round."""
    half = np.random.default_rng(seed).permutation(len(some)) % 2 == 0
    found = np.zeros((len(some), asked.good.shape[1]))
    for mine in (half, ~half):
        found[mine] = odds_of(asked, texts, some[~mine], some[mine])
    return found


def gains(found: Floats) -> Floats:
    """P(large good) - P(first small one good) from odds, -1..1."""
    chances = 1.0 / (1.0 + np.exp(-found))
    gain: Floats = chances[:, -1] - chances[:, 0]
    return gain
