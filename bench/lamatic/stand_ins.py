"""Stand-ins for what an export of flows leaves out: code bodies, inputs and answers, in the shape that the flows read.

Pure: finds `{{node.output.path}}` in a flow and makes a value that has all of a node's paths.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sizewise.flows.language.flow_spec import InputSpec
from sizewise.flows.language.types import Type
from sizewise.lamatic.canvas import Canvas
from sizewise.lamatic.template_parser import (
    ConditionalExpression,
    DefaultExpression,
    SliceStep,
    TemplatePath,
    TranslationError,
    parse_expression,
    split_template,
)

Uses = Sequence[tuple[tuple[object, ...], str]]
"""Steps below a node's output, and the name of the value that uses it."""
LEAVES: Mapping[str, Any] = {
    "iteratorValue": ["https://example.com/a", "https://example.com/b"],
    "metadataField": [{"title": "Tea", "content": "Tea is hot."}],
    "vectorsField": ["Tea is hot."],
    "inputText": ["Tea is hot."],
    "chunkField": "Tea is hot.",
}
LEAF = "Tea is hot."


def uses(canvas: Canvas, reads: Mapping[str, Iterable[str]] = {}) -> dict[str, list[tuple[tuple[object, ...], str]]]:
    """Node id -> its uses. `reads`: node id -> paths that its code reads, besides those in its values."""
    found: dict[str, list[tuple[tuple[object, ...], str]]] = {}
    for node in canvas.nodes.values():
        texts = list(_strings(node.values, ""))
        texts += [("{{" + path + "}}", "code") for path in reads.get(node.id, ())]
        for text, name in texts:
            for piece in split_template(text):
                for path in _paths(piece[0]) if isinstance(piece, tuple) else ():
                    found.setdefault(path.root, []).append((path.steps, name))
    return found


def value(found: Uses) -> Any:
    """A value in which each of the paths exists."""
    deeper = [(steps, name) for steps, name in found if steps]
    if not deeper:
        return LEAVES.get(found[0][1], LEAF) if found else {}
    if any(isinstance(steps[0], (int, SliceStep)) for steps, _ in deeper):
        return [value([(steps[1:], name) for steps, name in deeper])]
    names = dict.fromkeys(str(steps[0]) for steps, _ in deeper)
    return {each: value([(steps[1:], name) for steps, name in deeper if str(steps[0]) == each]) for each in names}


def code(reads: Iterable[str], result: Any) -> str:
    """A body that reads what the real one reads and returns `result`."""
    lines = [f"const v{number} = {{{{{path}}}}};" for number, path in enumerate(reads)]
    return "\n".join([*lines, f"output = {json.dumps(result)};", ""])


def inputs(specs: Mapping[str, InputSpec], found: Uses) -> dict[str, Any]:
    """A value for each input of an imported flow."""
    made: dict[str, Any] = {}
    for name, spec in specs.items():
        below = [(steps[1:], used) for steps, used in found if steps and str(steps[0]) == name]
        made[name] = _input(spec.type, below)
    return made


def _input(kind: Type, found: Uses) -> Any:
    match kind.name:
        case "text":
            return "Tea"
        case "integer" | "number":
            return 1
        case "boolean":
            return True
        case "file":
            return {"name": "tea.txt", "media_type": "text/plain", "data": base64.b64encode(LEAF.encode()).decode()}
        case "messages":
            return [{"role": "user", "content": "hello"}]
        case "list":
            return [_input(kind.item_type or Type("json"), ())]
    return value(found) if found else LEAF


def _strings(said: object, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(said, str):
        yield said, name
    elif isinstance(said, Mapping):
        for key, each in said.items():
            yield from _strings(each, name or str(key))
    elif isinstance(said, list):
        for each in said:
            yield from _strings(each, name)


def _paths(source: str) -> list[TemplatePath]:
    try:
        found = parse_expression(source)
    except TranslationError:
        return []
    match found:
        case DefaultExpression(first, _):
            return [first]
        case ConditionalExpression(when, _, _):
            return [when]
        case TemplatePath():
            return [found]
    return []
