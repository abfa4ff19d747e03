"""A flow that was checked: its nodes in an order in which they can run, their edges, their templates read; pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from sizewise.flows.language.expression import Compiled
from sizewise.flows.language.flow_spec import Retry, Spec
from sizewise.flows.language.types import Type
from sizewise.flows.node import Kind, Signature


class Ready(Struct, frozen=True):
    """A node that can run. `made`: the kind with its parameters, where none of them depends on the run.

    `needs`: nodes of its level that it cannot do without: it is skipped when one of them was. `may`: those that it
    can; it is skipped when all of both were. `cases`: branches and their cases; of these one must have been chosen.
    `outer`: names that what it holds takes from outside.
    """

    id: str
    name: str  # of its kind
    kind: type[Kind]
    values: Compiled
    made: Kind | None
    late: Mapping[str, Compiled]
    needs: tuple[str, ...]
    may: tuple[str, ...]
    cases: tuple[tuple[str, str], ...]
    retry: Retry
    timeout_s: float | None
    inner: Graph | None = None
    outer: frozenset[str] = frozenset()
    speaks: str = ""  # the field of its output whose words come while it runs


class Graph(Struct, frozen=True):
    """One level of nodes, ordered so that each comes behind what it leans on; `next` turns its edges around."""

    nodes: tuple[Ready, ...]
    outputs: Compiled
    next: Mapping[str, tuple[int, ...]]


class Voice(Struct, frozen=True):
    """The output that is read as the flow's words, and the nodes whose words it is while they come: of several the
    first that says anything."""

    output: str
    nodes: tuple[str, ...] = ()


class Flow(Struct, frozen=True):
    """`types`: what each output is. `takes`: what a chat's last question, and all of its messages, are put into."""

    spec: Spec
    graph: Graph
    types: Mapping[str, Type]
    voice: Voice | None
    takes: Mapping[str, str] = {}

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def version(self) -> str:
        return self.spec.version

    @property
    def signature(self) -> Signature:
        return signature(self.spec, self.types, self.voice.output if self.voice else "")


def signature(spec: Spec, outputs: Mapping[str, Type], speaks: str = "") -> Signature:
    inputs = {name: each.type for name, each in spec.inputs.items()}
    required = frozenset(name for name, each in spec.inputs.items() if each.required)
    return Signature(inputs, required, outputs, speaks)
