"""Compiled flow: a validated graph of nodes in topological order, with parsed templates and output types."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from sizewise.flows.language.expression import CompiledValue
from sizewise.flows.language.flow_spec import FlowSpec, RetrySpec
from sizewise.flows.language.types import Type
from sizewise.flows.node import FlowSignature, Node


class CompiledNode(Struct, frozen=True, kw_only=True):
    """A node that can run. `node`: the instance, if no parameter depends on the run.

    `required`: nodes of the same graph; if one of them is skipped, so is this one. `optional`: this node is skipped if
    all of them are, and it has no other dependency. `cases`: (branch, case) pairs; one must have been chosen.
    `outer_names`: names outside its body that the body uses.
    """

    id: str
    kind_name: str
    node_class: type[Node]
    values: CompiledValue
    node: Node | None
    late_parameters: Mapping[str, CompiledValue]
    required: tuple[str, ...]
    optional: tuple[str, ...]
    cases: tuple[tuple[str, str], ...]
    retry: RetrySpec
    timeout_s: float | None
    body: Graph | None = None
    outer_names: frozenset[str] = frozenset()
    streaming_field: str = ""  # the field of its output that streams while it runs


class Graph(Struct, frozen=True):
    """One level of nodes in topological order. `successors`: node id -> positions of the nodes that depend on it."""

    nodes: tuple[CompiledNode, ...]
    outputs: CompiledValue
    successors: Mapping[str, tuple[int, ...]]


class StreamSource(Struct, frozen=True):
    """The output that is the flow's text, and the nodes that stream it: the first of them that returns any text."""

    output: str
    nodes: tuple[str, ...] = ()


class CompiledFlow(Struct, frozen=True):
    """A flow that can run. `chat_inputs`: `question` and `messages` of a chat -> the input that takes them."""

    spec: FlowSpec
    graph: Graph
    output_types: Mapping[str, Type]
    stream_source: StreamSource | None
    chat_inputs: Mapping[str, str] = {}

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def version(self) -> str:
        return self.spec.version

    @property
    def signature(self) -> FlowSignature:
        return flow_signature(self.spec, self.output_types, self.stream_source.output if self.stream_source else "")


def flow_signature(spec: FlowSpec, outputs: Mapping[str, Type], text_output: str = "") -> FlowSignature:
    inputs = {name: each.type for name, each in spec.inputs.items()}
    required = frozenset(name for name, each in spec.inputs.items() if each.required)
    return FlowSignature(inputs, required, outputs, text_output)
