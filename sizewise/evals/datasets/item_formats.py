"""Items in the formats of other programs, and which of their fields these have no place for; writes no file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from sizewise.evals.runs.eval_items import EvalItem

ItemFormat = Literal["langfuse", "openai-evals", "promptfoo"]
Row = dict[str, Any]
KEPT: Mapping[str, frozenset[str]] = {
    "langfuse": frozenset({"id", "input", "expected"}),
    "openai-evals": frozenset({"input", "expected"}),
    "promptfoo": frozenset({"id", "input", "expected"}),
}


def export_items(items: Sequence[EvalItem], to: ItemFormat) -> list[Row]:
    """A row each: of a Langfuse data set, of samples for OpenAI's evals, or of promptfoo's tests for the prompt
    `{{input}}`.
    """
    return [_ROWS[to](each) for each in items]


def lost_fields(lines: Sequence[Mapping[str, object]], to: ItemFormat) -> dict[str, int]:
    """Fields of the data set's lines that the format has no place for, and how many items have them."""
    found = dict[str, int]()
    for line in lines:
        for name in line.keys() - KEPT[to]:
            found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items()))


def _langfuse(item: EvalItem) -> Row:
    return {"id": item.id, "input": item.input, "expectedOutput": item.expected, "status": "ACTIVE"}


def _sample(item: EvalItem) -> Row:
    return {"input": list(item.messages()), **({} if item.expected is None else {"ideal": item.expected})}


def _test(item: EvalItem) -> Row:
    text = item.input if isinstance(item.input, str) else item.question()
    known = item.expected if isinstance(item.expected, list) else [] if item.expected is None else [item.expected]
    value = [str(each) for each in known]
    asserts = [{"type": "icontains-any", "value": value}] if value else []
    return {"description": item.id, "vars": {"input": text}, **({"assert": asserts} if asserts else {})}


_ROWS: Mapping[str, Callable[[EvalItem], Row]] = {"langfuse": _langfuse, "openai-evals": _sample, "promptfoo": _test}
