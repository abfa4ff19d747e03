"""Writes reference/flows.md and reference/flow.schema.json out of the kinds of nodes and the filters; knows none."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sizewise.flows.json_schema import flow_json_schema
from sizewise.flows.language.filters import FILTERS
from sizewise.flows.language.types import JSON, TYPE_NAMES
from sizewise.flows.node import ValidationContext
from sizewise.flows.node_registry import NodeRegistry, NodeType

FOLDER = Path(__file__).parent / "reference"
INTRODUCTION = """\
# Flows

*Made from `sizewise/flows/` by `python -m docs.build`; change it there.*

A flow is a file `flows/NAME.yaml` beside `sizewise.toml`. [How to write one](../how-to/flows.md).
[flow.schema.json](flow.schema.json) is the same as a JSON Schema, for editors: put
`# yaml-language-server: $schema=flow.schema.json` into the first line. `sizewise flow check` finds what no schema can:
types, references, circles.

| key | |
|---|---|
| `name` | The file's, and of the model `flow:NAME`: a letter, then letters, digits, `_` and `-` |
| `description` | For people, and for models that call the flow as a tool |
| `inputs` | Name → type, or `{type, default, description}`; without a default it must be given |
| `nodes` | Id → a node. Their order in the file is for people only |
| `outputs` | Name → a value. `answer`, else `text`, else the first text is what the flow says as a model |
| `triggers` | What starts it beside its doors: `{kind: cron, schedule: "0 7 * * *"}`, `{kind: webhook}` |
"""


def pages() -> dict[Path, str]:
    """Every file made here and what belongs into it."""
    kinds = NodeRegistry()
    return {
        FOLDER / "flows.md": "\n".join(_page(kinds)),
        FOLDER / "flow.schema.json": json.dumps(flow_json_schema(kinds), indent=1, ensure_ascii=False) + "\n",
    }


def _page(kinds: NodeRegistry) -> Iterator[str]:
    yield INTRODUCTION
    yield f"Types: {', '.join(f'`{each}`' for each in TYPE_NAMES)}, `{{list: T}}`, `{{object: {{name: T}}}}`.\n"
    yield "## Expressions\n"
    yield "Between `{{` and `}}`: paths (`find.passages[0].text`), texts in quotes, numbers, `true`, `false`, `null`,"
    yield "comparisons (`== != < <= > >= in`), `and`, `or`, `not`, parentheses, and filters behind a `|`, which bind"
    yield "tightest. No calls and no sums. A value that is one `{{ }}` and nothing else keeps its type; else it is a"
    yield "text.\n"
    yield "| filter | takes | gives | |\n|---|---|---|---|"
    for name, each in FILTERS.items():
        takes = " or ".join("anything" if of.name == "json" else str(of) for of in each.input_types)
        usage = each.usage.strip("()") if each.argument_types else ""
        gives = each.output_type(JSON, tuple("" for _ in each.argument_types) or (None,))
        given = {"_same": "the same", "_or": "the same", "_item": "an item"}.get(each.output_type.__name__, str(gives))
        yield f"| `{name}`{f' ({usage})' if usage else ''} | {takes} | {given} | {each.description} |"
    yield "\n## Every node\n\n| key | |\n|---|---|"
    yield "| `kind` | What it does |"
    yield "| `after` | Nodes that come before it, where no reference says so; or cases: `after: route.refund` |"
    yield "| `retry` | `{times: 3, wait_s: 1}`: tries in all, and the pause before the second; then twice as long |"
    yield "| `timeout_s` | Seconds after which a try is stopped |"
    yield "| `description` | For people |\n"
    whole = flow_json_schema(kinds)["$defs"]
    for name in kinds.names:
        known = kinds(name)
        if known is not None:
            yield from _kind(known, whole[f"node_{name}"]["properties"])


def _kind(known: NodeType, shapes: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {known.name}\n\n{known.description}\n"
    gives = known.node_class.output_type(ValidationContext({}, {}))
    inside = ", ".join(f"`{name}`" for name in gives.fields if name != "\0")
    if known.node_class.has_body:
        yield "It holds `nodes` and `outputs` of its own.\n"
    if inside:
        yield f"Gives {inside}.\n"
    cases = known.node_class.case_names(ValidationContext({"cases": ["CASE"]}, {}))
    if cases:
        yield f"Cases: {', '.join(f'`{each}`' for each in cases)}.\n"
    yield "| parameter | type | default | |\n|---|---|---|---|"
    for name, each in known.parameters.items():
        shape = shapes[name]
        default = "**must be given**" if each.required else f"`{json.dumps(shape.get('default'))}`"
        shown = " \\| ".join(f"`{word}`" for word in each.type.enum) if each.type.enum else str(each.type)
        yield f"| `{name}` | {shown} | {default} | {str(shape.get('description', '')).replace('|', chr(92) + '|')} |"
    yield ""
