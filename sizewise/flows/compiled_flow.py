"""Compiled flow: a validated graph of nodes in topological order, with parsed templates and output types."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from sizewise.flows.language.expression import CompiledValue
from sizewise.flows.language.flow_spec import FlowSpec, RetrySpec
from sizewise.flows.language.types import Type
from sizewise.flows.node import FlowSignature, Node


class CompiledNode(Struct, frozen=True, kw_only=True):
    """A node that can run. `node`: the kind with its parameters, where none of them depends on the run.

    `required`: nodes of its level that it cannot do without: it is skipped when one of them was. `optional`: those
    that it can; it is skipped when all of both were. `cases`: branches and their cases; of these one must have been
    chosen. `outer_names`: names that what it holds takes from outside.
    """

    id: str
    kind_name: str  # of its kind
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
    streaming_field: str = ""  # the field of its output whose words come while it runs


class Graph(Struct, frozen=True):
    """One level of nodes, ordered so that each comes behind what it leans on; `successors` turns its edges around."""

    nodes: tuple[CompiledNode, ...]
    outputs: CompiledValue
    successors: Mapping[str, tuple[int, ...]]


class StreamSource(Struct, frozen=True):
    """The output that is read as the flow's words, and the nodes whose words it is while they come: of several the
    first that says anything.
    """

    output: str
    nodes: tuple[str, ...] = ()


class CompiledFlow(Struct, frozen=True):
    """`output_types`: what each output is. `chat_inputs`: what a chat's last question, and all of its messages, are
    put into."""

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
