"""Report of bias: the groups of each model or policy of a folder of answers, in words too; asks no model.

A policy that is to be replayed is given with its outcomes: which model it would have chosen is known elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.evals.bias.gaps import TOLERANCE, GroupGap, Metric, dimension_verdict, find_gaps, points
from sizewise.evals.bias.grouped_answers import chosen_models, grouped_answers, read_grouped_prompts, read_outcomes
from sizewise.evals.outcomes import RecordedOutcome

TITLES: Mapping[Metric, str] = {
    "quality": "Quality",
    "refusal": "Refusals",
    "small_share": "Answered by the small model",
}


class TargetGaps(Struct, frozen=True):
    """Of one model or policy."""

    name: str
    answers: int
    chosen: Sequence[str]  # the models that answered, if it is a policy
    small: str
    gaps: Sequence[GroupGap]

    @property
    def has_gap(self) -> bool:
        return any(each.verdict == "gap found" for each in self.gaps)

    @property
    def sentence(self) -> str:
        """What was found, over all dimensions: never "no gap" where one of them is unclear."""
        panels = [(metric, dimension, dimension_verdict(gaps)) for metric, dimension, gaps in self.panels()]
        found = [f"{TITLES[metric].lower()} by {dimension}: {said}" for metric, dimension, said in panels]
        gaps = [each for each in found if ": gap found" in each]
        if gaps:
            return "; ".join(gaps)
        if unclear := sum(said == "unclear" for *_, said in panels):
            return f"{unclear} of {len(panels)} comparisons are unclear"
        return f"no gap larger than {points(max(each.bound for each in self.gaps))}"

    def panels(self) -> Iterator[tuple[Metric, str, list[GroupGap]]]:
        """One for each metric and dimension."""
        for metric in TITLES:
            for dimension in dict.fromkeys(each.dimension for each in self.gaps):
                same = [each for each in self.gaps if (each.metric, each.dimension) == (metric, dimension)]
                if same:
                    yield metric, dimension, same


def measure_groups(
    folder: Path,
    references: Mapping[str, str],
    tolerance: float = TOLERANCE,
    small: str = "",
    replayed: Sequence[RecordedOutcome] = (),
) -> list[TargetGaps]:
    """`small`: the small model of policies; empty: the first that was recorded alone. `replayed`: of
    policies, besides what the folder has. Raises BadRequest if there is nothing to compare.
    """
    prompts, outcomes = read_grouped_prompts(folder), [*read_outcomes(folder), *replayed]
    chosen = chosen_models(outcomes)
    named = small or _smallest(outcomes, chosen)
    found = [
        TargetGaps(
            name=name,
            answers=len(its),
            chosen=chosen.get(name, []),
            small=named,
            gaps=find_gaps(its, references, tolerance),
        )
        for name, its in grouped_answers(prompts, outcomes, named).items()
    ]
    if not any(target.gaps for target in found):
        raise BadRequest(f"{str(folder)!r} has no two groups with answers", "let more prompts be answered")
    return found


def verdict_words(each: GroupGap) -> str:
    if each.verdict == "no gap":
        return f"no gap larger than {points(each.bound)}"
    return each.verdict if each.verdict != "unclear" else f"unclear: {each.needed:,} more texts"


def _smallest(outcomes: Sequence[RecordedOutcome], chosen: Mapping[str, Sequence[str]]) -> str:
    """The first that was recorded alone (`bias run` asks the small one first), of those that policies chose where they
    chose several; a policy that chose one alone may have asked the large one always.
    """
    models = {model for names in chosen.values() for model in names}
    alone = dict.fromkeys(each.model for each in outcomes if each.model not in chosen)
    return next((each for each in alone if len(models) < 2 or each in models), "")
