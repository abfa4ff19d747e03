"""Assertions of promptfoo as checks, criteria and similarities of an item; code among them is noted, never run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sizewise.errors import SizewiseError
from sizewise.evals.imports.imported_eval import Json, JsonValue
from sizewise.evals.imports.promptfoo_templates import UnknownTemplate, render_all
from sizewise.evals.linear_regex import compile_linear
from sizewise.evals.scorers import compile_schema

CODE = ("javascript", "python", "ruby", "webhook", "exec", "fn")
SIMILARITY = 0.75
"""The threshold of `similar` without one."""
CRITERIA: Mapping[str, str] = {
    "llm-rubric": "{}",
    "model-graded-closedqa": "{}",
    "g-eval": "{}",
    "factuality": "It agrees with this fact: {}",
    "model-graded-factuality": "It agrees with this fact: {}",
}
CSV_TYPE = re.compile(r"(not-)?([a-z][a-z-]*)(?:\((\d+(?:\.\d+)?)\))?:")


class NotCarried(ValueError):
    """Why an assertion is not carried."""


@dataclass
class ItemAssertions:
    """`similar`: (text, threshold)."""

    checks: list[Json] = field(default_factory=list)
    criteria: list[str] = field(default_factory=list)
    similar: list[tuple[str, float]] = field(default_factory=list)

    def add(self, assertion: Mapping[str, JsonValue], values: Mapping[str, JsonValue]) -> None:
        """Raises NotCarried."""
        kind = str(assertion.get("type", ""))
        name = kind.removeprefix("not-")
        for lost in ("transform", "provider", "rubricPrompt", "config"):
            if assertion.get(lost):
                raise NotCarried(f"`{lost}` of the assertion {kind!r}")
        if name in CODE:
            raise NotCarried(f"the assertion {kind!r} is code, which is not run: write a scorer plug-in")
        try:
            value = render_all(assertion.get("value"), values)
        except UnknownTemplate as error:
            raise NotCarried(f"{error} in the assertion {kind!r}") from error
        if isinstance(value, str) and value.startswith("file://"):
            raise NotCarried(f"the assertion {kind!r} of the file {value!r}")
        if name in CRITERIA and name == kind and value:
            self.criteria.append(CRITERIA[name].format("; ".join(value) if isinstance(value, list) else value))
        elif name == "similar" and name == kind and value:
            self.similar.append((str(value), _number(assertion.get("threshold", SIMILARITY))))
        else:
            self.checks.append(_check(name, value, assertion) | ({"negate": True} if name != kind else {}))


def csv_assertions(text: str) -> Iterator[Json]:
    """Of a cell `__expected`: `icontains: x`, `contains-any: a, b`, `similar(0.8): x`; plain text is `equals`."""
    found = CSV_TYPE.match(text.strip())
    if found is None:
        yield {"type": "equals", "value": text}
        return
    value: JsonValue = text.strip()[found.end() :].strip()
    kind = f"{found[1] or ''}{found[2]}"
    if found[2] == "grade":
        kind = "llm-rubric"
    if kind.endswith(("-any", "-all")):
        value = [each.strip() for each in value.split(",")]
    yield {"type": kind, "value": value, **({"threshold": float(found[3])} if found[3] else {})}


def _check(name: str, value: JsonValue, assertion: Mapping[str, JsonValue]) -> Json:
    texts = value if isinstance(value, list) else [value]
    match name:
        case "equals":
            if isinstance(value, dict | list):
                return {"kind": "json", "expected": value}
            return {"kind": "exact", "expected": _text(value), "case_sensitive": True}
        case "contains" | "contains-any" | "contains-all" | "icontains" | "icontains-any" | "icontains-all":
            found = {"kind": "contains", "expected": [_text(each) for each in texts], "whole_words": False}
            is_exact = {} if name.startswith("i") else {"case_sensitive": True}
            return found | is_exact | ({"all_of": True} if name.endswith("-all") else {})
        case "starts-with":
            return {"kind": "regex", "expected": rf"\A{re.escape(_text(value))}", "case_sensitive": True}
        case "regex":
            return _checked(lambda: compile_linear(_text(value))) | {
                "kind": "regex",
                "expected": _text(value),
                "case_sensitive": True,
            }
        case "is-json":
            schema = value if isinstance(value, dict) else {}
            return _checked(lambda: compile_schema(schema)) | {"kind": "json", "schema": schema}
        case "cost":
            return {"kind": "cost", "at_most": _number(assertion.get("threshold"))}
        case "latency":
            return {"kind": "latency", "at_most": _number(assertion.get("threshold")) / 1000}
    raise NotCarried(f"the assertion {name!r}")


def _checked(compiles: JsonValue) -> Json:
    try:
        compiles()
    except SizewiseError as error:
        raise NotCarried(error.message) from error
    return {}


def _text(value: object) -> str:
    if value is None or isinstance(value, dict | list):
        raise NotCarried("an assertion without a text")
    return str(value)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise NotCarried("an assertion without a threshold")
    return float(value)
