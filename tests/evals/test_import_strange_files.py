"""Files that are nearly of a format: whatever stands where, an import reads on, notes it, or refuses in words."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sizewise.errors import SizewiseError
from sizewise.evals.imports.imported_eval import ImportReport
from sizewise.evals.imports.inspect_log import import_inspect
from sizewise.evals.imports.langfuse_items import import_langfuse
from sizewise.evals.imports.openai_evals import import_openai_evals
from sizewise.evals.imports.promptfoo import import_promptfoo
from sizewise.evals.runs.eval_items import read_items
from sizewise.evals.runs.eval_spec import build_spec
from sizewise.flows.language.yaml_source import parse_yaml

PROMPTFOO: Any = {
    "prompts": ["a {{x}}", {"raw": "b", "label": "l"}, "file://p.txt"],
    "providers": ["a:b", {"id": "a:b", "config": {"tools": [{"a": 1}], "temperature": 1}}, {"a:x": {"config": {}}}],
    "defaultTest": {"vars": {"x": 1}, "assert": [{"type": "cost", "threshold": 1}], "options": {"a": 1}},
    "tests": [
        {
            "vars": {"x": [1, "2"]},
            "assert": [
                {"type": "contains-any", "value": ["a", "b"]},
                {"type": "similar", "value": "a", "threshold": 0.5},
                {"type": "llm-rubric", "value": "ok"},
                {"$ref": "#/assertionTemplates/t"},
                {"type": "assert-set", "assert": [{"type": "regex", "value": "a"}]},
            ],
        }
    ],
    "assertionTemplates": {"t": {"type": "equals", "value": "v"}},
    "scenarios": [{"config": [{"vars": {"x": 1}}], "tests": [{"vars": {"y": 1}}]}],
}
INSPECT: Any = {
    "eval": {"model": "m", "sandbox": 1},
    "samples": [{"id": 1, "input": [{"role": "user", "content": "x"}], "target": ["b"], "scores": {"match": {}}}],
}
LANGFUSE: Any = {
    "data": [{"id": "1", "input": {"messages": [{"role": "user", "content": "x"}]}, "expectedOutput": "y"}]
}
EVALS: Any = {
    "testing_criteria": [
        {"type": "string_check", "operation": "eq", "input": "{{sample.output_text}}", "reference": "{{item.a}}"},
        {"type": "label_model", "passing_labels": ["x"], "input": [{"role": "user", "content": {"text": "x"}}]},
    ],
    "data_source": {
        "input_messages": {"template": [{"role": "user", "content": "{{item.a}}"}]},
        "source": {"content": [{"item": {"a": "b", "ideal": ["x"]}}]},
    },
}
STRANGE: list[Any] = [
    *(None, 1, -1.5, True, "", "x", "file://q", "{{", "}}", "a:b:c"),
    *([], {}, [1], {"a": {}}, [[{}]], {"type": "contains"}, ["x", None]),
]


def disturbed(value: Any, chance: random.Random) -> Any:
    """A copy with one to three strange values somewhere."""
    found = copy.deepcopy(value)
    for _ in range(chance.randint(1, 3)):
        node, at = found, None
        while isinstance(node, dict | list) and node and chance.random() < 0.85:
            step: Any = chance.choice(list(node) if isinstance(node, dict) else range(len(node)))
            at, node = (node, step), node[step]
        if at is not None:
            at[0][at[1]] = copy.deepcopy(chance.choice(STRANGE))
    return found


def promptfoo(file: Path) -> ImportReport:
    return import_promptfoo(file, partial(parse_yaml, allow_aliases=True), "n", "auto")


@pytest.mark.long
@pytest.mark.parametrize(
    ("base", "read"),
    [
        (PROMPTFOO, promptfoo),
        (INSPECT, lambda file: import_inspect(file, "n", "auto")),
        (LANGFUSE, lambda file: import_langfuse(file, "n")),
        (EVALS, lambda file: import_openai_evals(file, "n", "auto")),
    ],
    ids=["promptfoo", "inspect", "langfuse", "evals"],
)
def test_a_strange_value_anywhere_is_noted_or_refused_and_what_is_imported_is_valid(
    base: Any, read: Callable[[Path], ImportReport], tmp_path: Path
) -> None:
    chance, file, items = random.Random(28), tmp_path / "x.json", tmp_path / "items.jsonl"
    (tmp_path / "p.txt").write_text("x {{x}}")
    for _ in range(300):
        file.write_text(json.dumps(disturbed(base, chance)))
        try:
            found = read(file)
        except SizewiseError:
            continue
        for each in found.evals:
            build_spec({**each.spec, "data": "x"})
            items.write_text("".join(json.dumps(item) + "\n" for item in each.items))
            assert read_items(items).items
