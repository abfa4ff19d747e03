"""Answers by group: reads a folder of outcomes whose prompts name groups, or are of categories; computes no gap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from pathlib import Path

from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.evals.dataset_files import outcome_file, read_rows
from sizewise.evals.outcomes import RecordedOutcome
from sizewise.routing.judges.rules import is_refusal

HINT = "see docs/how-to/bias.md"
CATEGORY = "category"


class GroupedAnswer(Struct, frozen=True):
    """`groups`: dimension -> group. `quality`: the score, 0..1. `small`: whether the small model gave it; None: its
    model was not chosen by a policy."""

    template: str
    groups: Mapping[str, str]
    quality: float
    is_refused: bool
    is_small: bool | None = None


class GroupedPrompt(Struct, frozen=True):
    """A row of `prompts`. Without a `template` it is compared with no other version of itself."""

    prompt_id: str | int
    prompt: str = ""
    category: str | int | None = None
    template: str | int | None = None
    groups: Mapping[str, str] = {}

    @property
    def all_groups(self) -> Mapping[str, str]:
        """By category, if it names no groups."""
        return self.groups or ({} if self.category in (None, "") else {CATEGORY: str(self.category)})


def read_grouped_prompts(folder: Path) -> dict[str, GroupedPrompt]:
    """By id. Raises BadRequest if none names a group."""
    prompts = {str(row.prompt_id): row for _, row in read_rows(outcome_file(folder, "prompts"), GroupedPrompt)}
    if not any(row.all_groups for row in prompts.values()):
        hint = f'add "groups": {{"dimension": "group"}} or a category to its prompts: {HINT}'
        raise BadRequest(f"no prompt of {str(folder)!r} names a group", hint)
    return prompts


def read_outcomes(folder: Path) -> list[RecordedOutcome]:
    return [row for _, row in read_rows(outcome_file(folder, "outcomes"), RecordedOutcome)]


def grouped_answers(
    prompts: Mapping[str, GroupedPrompt], outcomes: Iterable[RecordedOutcome], small: str = ""
) -> dict[str, list[GroupedAnswer]]:
    """By model or policy. `small`: the small model of policies; empty: their share is not known."""
    found = dict[str, list[GroupedAnswer]]()
    for each in outcomes:
        prompt = prompts.get(str(each.prompt_id))
        if prompt is None or each.score is None or isnan(each.score) or not prompt.all_groups:
            continue
        is_routed = each.answered_by is not None and bool(small)
        found.setdefault(each.model, []).append(
            GroupedAnswer(
                template=str(prompt.prompt_id if prompt.template is None else prompt.template),
                groups=prompt.all_groups,
                quality=each.score,
                is_refused=is_refused(each),
                is_small=each.answered_by == small if is_routed else None,
            )
        )
    return found


def is_refused(outcome: RecordedOutcome) -> bool:
    return outcome.finish == "content_filter" or is_refusal(str(outcome.answer or "").strip())


def chosen_models(outcomes: Sequence[RecordedOutcome]) -> dict[str, list[str]]:
    """For each policy the models that answered for it."""
    found = dict[str, set[str]]()
    for each in outcomes:
        if each.answered_by:
            found.setdefault(each.model, set()).add(each.answered_by)
    return {policy: sorted(models) for policy, models in found.items()}
