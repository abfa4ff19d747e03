"""Which policies and published flows use a model, for a message about its end; calls no model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sizewise.auth.permissions import DEFAULT_TENANT
from sizewise.errors import SizewiseError
from sizewise.flows.language.types import Json
from sizewise.flows.node_registry import NodeRegistry
from sizewise.flows.validator import parse_flow_text
from sizewise.flows.versions.published_flow import PublishedFlow
from sizewise.flows.versions.store import FlowVersions

MAX_KNOWN = 2_000
"""Flow versions whose models are remembered."""


class ModelUses:
    """One per server process."""

    def __init__(self, versions: FlowVersions) -> None:
        self._versions = versions
        self._known: dict[tuple[str, str, str], frozenset[str]] = {}

    def describe(self, model: str, policies: Mapping[str, frozenset[str]], default_policy: str) -> str:
        """In words; empty if nothing uses it. `policies`: the models of each. Flows are those of the first
        organization; a flow that asks `auto:POLICY` uses the models of the policy.
        """
        used = sorted(name for name, models in policies.items() if model in models)
        names = {model, *(f"auto:{name}" for name in used), *(["auto"] if default_policy in used else [])}
        flows = sorted({each.name for each in self._published() if names & self._models(each)})
        parts = [f"{kind} {', '.join(found)}" for kind, found in (("policies", used), ("flows", flows)) if found]
        return "; ".join(parts)

    def _published(self) -> list[PublishedFlow]:
        return self._versions.list_published(DEFAULT_TENANT)

    def _models(self, flow: PublishedFlow) -> frozenset[str]:
        place = (flow.project, flow.name, flow.version)
        if place not in self._known:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            try:
                text = self._versions.read_source_blocking(DEFAULT_TENANT, *place).decode()
            except SizewiseError:  # its key is missing: not known this time
                return frozenset()
            self._known[place] = frozenset(_model_names(text))
        return self._known[place]


def _model_names(text: str) -> Iterator[str]:
    spec, kinds = parse_flow_text(text).spec, NodeRegistry()
    for node in spec.all_nodes() if spec is not None else ():
        kind = kinds(node.kind)
        for name, parameter in kind.parameters.items() if kind is not None else ():
            said: Json = node.values.get(name)
            if parameter.names == "models" and isinstance(said, str):
                yield said
