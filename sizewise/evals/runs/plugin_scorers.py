"""Scorers of the user's own, installed as entry points in `sizewise.scorers`; what they raise is a missing score.

Code of a scorer comes from an installed package alone, never from an eval or a data set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from typing import Any

from msgspec import Struct

from sizewise.evals.runs.eval_items import EvalItem
from sizewise.evals.runs.eval_spec import ScorerSpec
from sizewise.evals.runs.item_scorers import Score, TargetAnswer, expected_of, missing
from sizewise.plugins import PluginRegistry


class ScoredAnswer(Struct, frozen=True, kw_only=True):
    """What a scorer gets. `calls`: (name, arguments as JSON text). `options`: of the eval file."""

    input: str
    messages: tuple[Mapping[str, object], ...]
    answer: str
    expected: object
    context: tuple[str, ...]
    calls: tuple[tuple[str, str], ...]
    tags: tuple[str, ...]
    options: Mapping[str, Any]


PluginScorer = Callable[[ScoredAnswer], float | bool | None]
"""A plug-in of the kind `scorers`: 0..1, or None if this answer has no score. Called in a thread of its own."""


class PluginScorers:
    """Loads the plug-ins of `names` when it is made."""

    def __init__(self, names: Iterable[str]) -> None:
        """Raises ConfigError for a name that is not installed."""
        wanted = sorted(set(names))
        plugins = PluginRegistry() if wanted else None
        self._scorers: dict[str, PluginScorer] = (
            {} if plugins is None else {each: plugins("scorers", each) for each in wanted}
        )

    def __call__(self, spec: ScorerSpec, item: EvalItem, answer: TargetAnswer) -> Score:
        given = ScoredAnswer(
            input=item.question(),
            messages=tuple(item.messages()),
            answer=answer.text,
            expected=expected_of(spec, item),
            context=item.context,
            calls=answer.calls,
            tags=item.tags,
            options=spec.options,
        )
        try:
            found = self._scorers[spec.name](given)
            value = None if found is None else float(found)
        except Exception as error:  # code that others wrote: whatever it raises is no score
            return missing(f"the scorer {spec.name!r} raised {type(error).__name__}")
        if value is None:
            return missing(f"the scorer {spec.name!r} gave no score")
        if not (isfinite(value) and 0 <= value <= 1):
            return missing(f"the scorer {spec.name!r} gave {value}, not in 0..1")
        return Score(value)
