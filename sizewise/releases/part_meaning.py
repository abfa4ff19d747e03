"""Meaning of a part of a release, as values that can be compared; and what of a change breaks its callers."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from sizewise.flows.language.flow_spec import FlowSpec
from sizewise.flows.language.yaml_source import parse_yaml
from sizewise.flows.validator import parse_flow_text
from sizewise.prompts.prompt import PromptTemplate, parse_prompt
from sizewise.releases.manifest import Json, PartKind

CALLED = ("flows", "prompts", "policies", "agents")
"""Kinds whose parts are named by callers."""


def meaning(kind: PartKind, name: str, content: bytes) -> Json:
    """None if it is in no known format."""
    match kind:
        case "flows":
            return parse_yaml(content.decode()).data
        case "prompts":
            shown = msgspec.to_builtins(_prompt(name, content))
            return {key: each for key, each in shown.items() if key not in ("id", "version", "pieces")}
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def breaking_changes(kind: PartKind, name: str, before: bytes, after: bytes | None) -> Iterator[str]:
    """Sentences about what callers of the part can no longer do. `after`: None: it is gone."""
    if after is None:
        if kind in CALLED:
            yield "it is gone"
    elif kind == "flows":
        old, new = (parse_flow_text(each.decode()).spec for each in (before, after))
        if old is not None and new is not None:
            yield from _flow_changes(old, new)
    elif kind == "prompts":
        variables, now = _prompt(name, before).variables, _prompt(name, after).variables
        yield from (f"its variable {each!r} is gone" for each in sorted(variables.keys() - now.keys()))
        for each, variable in now.items():
            known = variables.get(each)
            if variable.is_required and (known is None or not known.is_required):
                yield f"its variable {each!r} is required now"
            elif known is not None and known.type != variable.type:
                yield f"its variable {each!r} was a {known.type} and is a {variable.type}"


def _flow_changes(old: FlowSpec, new: FlowSpec) -> Iterator[str]:
    yield from (f"its output {each!r} is gone" for each in sorted(old.outputs.keys() - new.outputs.keys()))
    yield from (f"its input {each!r} is gone" for each in sorted(old.inputs.keys() - new.inputs.keys()))
    for each, spec in new.inputs.items():
        known = old.inputs.get(each)
        if spec.required and (known is None or not known.required):
            yield f"its input {each!r} is required now"
        elif known is not None and known.type != spec.type:
            yield f"its input {each!r} has another type"


def _prompt(name: str, content: bytes) -> PromptTemplate:
    return parse_prompt(name, content.decode(), lambda text: parse_yaml(text).data)
