"""Which published flows and evals use a prompt of the folder; reads their texts, and renders none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from sizewise.app.eval_folder import eval_names_in, find_eval
from sizewise.errors import BadRequest, SizewiseError
from sizewise.flows.validator import parse_flow_text
from sizewise.flows.versions.store import FlowVersions


class PromptCaller(Struct, frozen=True):
    """`kind`: flow or eval. `node`: of the flow; empty for an eval."""

    kind: str
    name: str
    node: str = ""


def prompt_uses(
    versions: FlowVersions, tenant: str, project: str, evals: Path | None
) -> Mapping[str, tuple[PromptCaller, ...]]:
    """By the id of the prompt. Reads a text of each flow and eval."""
    found: dict[str, list[PromptCaller]] = {}
    for prompt, use in (*_flows(versions, tenant, project), *_evals(evals)):
        found.setdefault(prompt, []).append(use)
    return {prompt: tuple(uses) for prompt, uses in found.items()}


def _flows(versions: FlowVersions, tenant: str, project: str) -> Iterator[tuple[str, PromptCaller]]:
    for flow in versions.list_published(tenant):
        if flow.project != project:
            continue
        try:
            text = versions.read_source_blocking(tenant, project, flow.name, flow.version).decode()
        except SizewiseError:  # its key is missing: not known this time
            continue
        spec = parse_flow_text(text).spec
        for node in spec.all_nodes() if spec is not None else ():
            prompt = node.values.get("prompt_id")
            if isinstance(prompt, str):
                yield prompt, PromptCaller("flow", flow.name, node.id)


def _evals(folder: Path | None) -> Iterator[tuple[str, PromptCaller]]:
    for name in eval_names_in(folder) if folder is not None else ():
        try:
            prompt = find_eval(folder, name).spec.target.prompt if folder is not None else ""
        except BadRequest:  # its mistakes are shown with the eval
            continue
        if prompt:
            yield prompt, PromptCaller("eval", name)
