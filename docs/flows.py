"""Writes reference/flows.md and reference/flow.schema.json from the node kinds and filters; knows none of them."""

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

*Generated from `sizewise/flows/` by `python -m docs.build`; edit it there.*

The keys, types, expressions and node kinds of a flow file, `flows/NAME.yaml` next to `sizewise.toml`
([how to write one](../how-to/flows.md)). [flow.schema.json](flow.schema.json) is the JSON Schema, for editors: put
`# yaml-language-server: $schema=flow.schema.json` in the first line. `sizewise flow check` finds what a schema cannot:
wrong types, unknown references, cycles.

| key | |
|---|---|
| `name` | Name of the file and of the model `flow:NAME`: a letter, then letters, digits, `_` and `-` |
| `description` | For people, and for models that call the flow as a tool |
| `inputs` | Name → type, or `{type, default, description}`; required without a default |
| `nodes` | Id → a node. The order in the file has no effect |
| `outputs` | Name → a value. As a model, the flow replies with `answer`, else `text`, else the first string |
| `triggers` | What starts it besides the API: `{kind: cron, schedule: "0 7 * * *"}`, `{kind: webhook}` |
"""


def pages() -> dict[Path, str]:
    """Every generated file and its text."""
    kinds = NodeRegistry()
    return {
        FOLDER / "flows.md": "\n".join(_page(kinds)),
        FOLDER / "flow.schema.json": json.dumps(flow_json_schema(kinds), indent=1, ensure_ascii=False) + "\n",
    }


def _page(kinds: NodeRegistry) -> Iterator[str]:
    yield INTRODUCTION
    yield f"Types: {', '.join(f'`{each}`' for each in TYPE_NAMES)}, `{{list: T}}`, `{{object: {{name: T}}}}`.\n"
    yield "## Expressions\n"
    yield (
        "Between `{{` and `}}`: paths (`find.passages[0].text`), strings in quotes, numbers, `true`, `false`, `null`,"
    )
    yield "comparisons (`== != < <= > >= in`), `and`, `or`, `not`, parentheses, and filters after a `|`, which bind"
    yield "tightest. There are no calls and no arithmetic. A value that is one `{{ }}` keeps its type; any other is"
    yield "text.\n"
    yield "| filter | takes | gives | |\n|---|---|---|---|"
    for name, each in FILTERS.items():
        takes = " or ".join("anything" if of.name == "json" else str(of) for of in each.input_types)
        usage = each.usage.strip("()") if each.argument_types else ""
        gives = each.output_type(JSON, tuple("" for _ in each.argument_types) or (None,))
        given = {"_same": "the same", "_or": "the same", "_item": "an item"}.get(each.output_type.__name__, str(gives))
        yield f"| `{name}`{f' ({usage})' if usage else ''} | {takes} | {given} | {each.description} |"
    yield "\n## Keys of every node\n\n| key | |\n|---|---|"
    yield "| `kind` | Kind of the node |"
    yield "| `after` | Nodes that must end first, if no reference implies it; or cases: `after: route.refund` |"
    yield "| `retry` | `{times: 3, wait_s: 1}`: total attempts, and the pause before the second, which then doubles |"
    yield "| `timeout_s` | Timeout of one attempt in seconds |"
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
        yield "It contains its own `nodes` and `outputs`.\n"
    if inside:
        yield f"Output: {inside}.\n"
    cases = known.node_class.case_names(ValidationContext({"cases": ["CASE"]}, {}))
    if cases:
        yield f"Cases: {', '.join(f'`{each}`' for each in cases)}.\n"
    yield "| parameter | type | default | |\n|---|---|---|---|"
    for name, each in known.parameters.items():
        shape = shapes[name]
        default = "*required*" if each.required else f"`{json.dumps(shape.get('default'))}`"
        shown = " \\| ".join(f"`{word}`" for word in each.type.enum) if each.type.enum else str(each.type)
        yield f"| `{name}` | {shown} | {default} | {str(shape.get('description', '')).replace('|', chr(92) + '|')} |"
    yield ""
