"""Call graph of flows: which flows a flow can call, and the cycles of these calls; reads no file and compiles nothing.

A flow calls others by `subflow` nodes, by `tool` nodes, since a published flow is a tool, and by agents that have one
as a tool. A cycle of the first two is an error. Whether an agent calls a tool is up to its model, so a cycle through
an agent is a warning.

Everything here is linear in nodes and calls, and no function recurses: a folder may hold a thousand flows in a chain.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, takewhile
from typing import Generic, Literal, Protocol, TypeVar

from msgspec import Struct

from sizewise.flows.language.diagnostics import Path
from sizewise.flows.language.flow_spec import FlowSpec, NodeSpec

CallKind = Literal["subflow", "tool", "agent", "named agent"]
MAX_SHOWN = 10
"""Flows of a cycle that a message names."""
MAX_DEPTH = 16
"""Levels of subflows below a flow."""


class FlowCall(Struct, frozen=True):
    """A call in a flow. `name`: of the flow or tool, which may end in `*` for an agent's tools; for a `named agent`,
    the agent in the settings. `version`: of NAME@VERSION. `path`: of the name in the file.
    """

    kind: CallKind
    name: str
    node: str
    path: Path
    version: str = ""


class CallFinding(Struct, frozen=True):
    """What is wrong with a call; `path` is its place in the file."""

    path: Path
    node: str
    message: str
    hint: str
    is_warning: bool = False


class AgentCalls(Protocol):
    """The settings of an agent."""

    @property
    def tools(self) -> Sequence[str]: ...
    @property
    def subagents(self) -> Sequence[str]: ...
    @property
    def handoffs(self) -> Sequence[str]: ...


def list_calls(spec: FlowSpec) -> tuple[FlowCall, ...]:
    """The calls with constant names, in file order."""
    return tuple(call for node in spec.all_nodes() for call in _calls_of_node(node))


def _calls_of_node(node: NodeSpec) -> Iterator[FlowCall]:
    values, path = node.values, node.path
    if node.kind == "subflow" and (said := _constant(values.get("flow"))):
        name, _, version = said.partition("@")
        yield FlowCall("subflow", name, node.id, (*path, "flow"), version=version)
    elif node.kind == "tool" and (said := _constant(values.get("tool"))):
        yield FlowCall("tool", said, node.id, (*path, "tool"))
    elif node.kind == "agent" and (said := _constant(values.get("agent"))):
        yield FlowCall("named agent", said, node.id, (*path, "agent"))
    elif node.kind == "agent" and isinstance(tools := values.get("tools"), list):
        for number, each in enumerate(tools):
            if said := _constant(each):
                yield FlowCall("agent", said, node.id, (*path, "tools", number))


def _constant(said: object) -> str:
    """Empty unless it is a text without expressions."""
    return said if isinstance(said, str) and "{{" not in said else ""


# ---- cycles ---------------------------------------------------------------------------------------------------------

V = TypeVar("V", bound=Hashable)


class Edge(Struct, Generic[V], frozen=True):
    """`call`: None between an agent and its tools, which no flow file holds."""

    target: V
    call: FlowCall | None = None


class Cycle(Struct, Generic[V], frozen=True):
    """How calls that begin at a flow come back to a flow, at most MAX_SHOWN of them. `first`: the call it begins with.

    `is_cut`: the rest is left out. The last is the one that it comes back to.
    """

    path: tuple[V, ...]
    first: Edge[V]
    is_cut: bool = False


class CallOrder(Struct, Generic[V], frozen=True):
    """What the roots reach: `order` has callees before their callers, except on a cycle. `cycles`: by member."""

    order: Sequence[V]
    edges: Mapping[V, Sequence[Edge[V]]]
    cycles: Mapping[V, Cycle[V]]


def order_calls(roots: Iterable[V], edges_of: Callable[[V], Iterable[Edge[V]]]) -> CallOrder[V]:
    """Tarjan's strongly connected components, without recursion. `edges_of` is called once for each that is reached."""
    edges: dict[V, Sequence[Edge[V]]] = {}
    number: dict[V, int] = {}
    lowest: dict[V, int] = {}
    open_: dict[V, None] = {}  # without a component yet; in order
    order: list[V] = []
    cycles: dict[V, Cycle[V]] = {}
    for root in roots:
        if root in number:
            continue
        waiting = [root]
        trail: list[tuple[V, Iterator[Edge[V]]]] = []
        while waiting or trail:
            if waiting:
                one = waiting.pop()
                number[one] = lowest[one] = len(number)
                open_[one] = None
                edges[one] = tuple(edges_of(one))
                trail.append((one, iter(edges[one])))
            one, rest = trail[-1]
            for edge in rest:
                if edge.target not in number:
                    waiting.append(edge.target)
                    break
                if edge.target in open_:
                    lowest[one] = min(lowest[one], number[edge.target])
            else:
                trail.pop()
                if trail:
                    caller = trail[-1][0]
                    lowest[caller] = min(lowest[caller], lowest[one])
                if lowest[one] == number[one]:
                    members = _pop_until(open_, one)
                    order.extend(members)
                    cycles.update(_cycles(members, one, edges))
    return CallOrder(order, edges, cycles)


def _pop_until(open_: dict[V, None], last: V) -> list[V]:
    members: list[V] = []
    while not members or members[-1] != last:
        members.append(open_.popitem()[0])
    return members


def _cycles(members: Sequence[V], start: V, edges: Mapping[V, Sequence[Edge[V]]]) -> dict[V, Cycle[V]]:
    """For each member the way to `start` and round a shortest cycle from there; none if it is no cycle."""
    within = set(members)
    callers: dict[V, list[tuple[V, Edge[V]]]] = {each: [] for each in members}
    for each in members:
        for edge in edges[each]:
            if edge.target in within:
                callers[edge.target].append((each, edge))
    following: dict[V, Edge[V]] = {}
    reached = deque([start])
    while reached:  # backwards; the first call of `start` itself that is met closes a shortest cycle
        for caller, edge in callers[reached.popleft()]:
            if caller not in following:
                following[caller] = edge
                if caller != start:
                    reached.append(caller)
    return {each: _cycle(each, following) for each in members if each in following}


def _cycle(member: V, following: Mapping[V, Edge[V]]) -> Cycle[V]:
    path = [member]
    for _ in range(MAX_SHOWN):
        called = following[path[-1]].target
        if called in path:
            return Cycle((*path, called), following[member])
        path.append(called)
    return Cycle((*path[:MAX_SHOWN], member), following[member], is_cut=True)


def cycle_text(cycle: Cycle[V], label: Callable[[V], str]) -> str:
    """`a → b → a`."""
    names = [label(each) for each in cycle.path]
    return " → ".join([*names[:-1], *(["…"] if cycle.is_cut else []), names[-1]])


# ---- a project's flows ----------------------------------------------------------------------------------------------


class ToolPattern(Struct, frozen=True):
    """All flows whose names begin with `prefix`."""

    prefix: str


class AgentVertex(Struct, frozen=True):
    """An agent of the settings."""

    name: str


def certain_edges(calls: Iterable[FlowCall], resolve: Callable[[FlowCall], V | None]) -> Iterator[Edge[V]]:
    """The calls that a run of the flow makes if it reaches their nodes."""
    for call in calls:
        if call.kind in ("subflow", "tool") and (found := resolve(call)) is not None:
            yield Edge(found, call)


class AgentEdges(Generic[V]):
    """All calls, those of agents too. Agents and patterns are vertices of their own, so that a thousand agents with
    the tools `*` are a thousand edges and not a million.
    """

    def __init__(
        self,
        flows: Mapping[str, V],
        calls_of: Callable[[V], Sequence[FlowCall]],
        resolve: Callable[[FlowCall], V | None],
        agents: Mapping[str, AgentCalls],
    ) -> None:
        """`flows`: those that are tools, by name."""
        self._flows = flows
        self._names = sorted(flows)
        self._calls_of = calls_of
        self._resolve = resolve
        self._agents = agents

    def __call__(self, vertex: V | ToolPattern | AgentVertex) -> Iterator[Edge[V | ToolPattern | AgentVertex]]:
        if isinstance(vertex, ToolPattern):
            first = bisect_left(self._names, vertex.prefix)
            for name in takewhile(lambda name: name.startswith(vertex.prefix), islice(self._names, first, None)):
                yield Edge(self._flows[name])
        elif isinstance(vertex, AgentVertex):
            settings = self._agents.get(vertex.name)
            if settings is not None:
                for name in settings.tools:
                    yield from self._tool(name, None)
                for name in (*settings.subagents, *settings.handoffs):
                    yield Edge(AgentVertex(name))
        else:
            calls = self._calls_of(vertex)
            for certain in certain_edges(calls, self._resolve):
                yield Edge(certain.target, certain.call)
            for call in calls:
                if call.kind == "named agent":
                    yield Edge(AgentVertex(call.name), call)
                elif call.kind == "agent":
                    yield from self._tool(call.name, call)

    def _tool(self, name: str, call: FlowCall | None) -> Iterator[Edge[V | ToolPattern | AgentVertex]]:
        if name.endswith("*"):
            yield Edge(ToolPattern(name[:-1]), call)
        elif name in self._flows:
            yield Edge(self._flows[name], call)


def find_call_errors(
    flow: V,
    certain: CallOrder[V],
    depths: dict[V, int],
    possible: CallOrder[V | ToolPattern | AgentVertex] | None = None,
    label: Callable[[V], str] = str,
) -> list[CallFinding]:
    """What is wrong with the calls of `flow`, one of `certain`. `depths`: levels of subflows below each flow; call this
    in the order of `certain`, which fills it. `possible`: the order with the calls of agents.
    """
    below, deepest = 0, None
    for edge in certain.edges[flow]:
        if edge.call is not None and edge.call.kind == "subflow" and depths.get(edge.target, 0) >= below:
            below, deepest = depths.get(edge.target, 0) + 1, edge.call
    depths[flow] = below
    if flow in certain.cycles:
        return [_cycle_error(certain.cycles[flow], label)]
    found: list[CallFinding] = []
    if below > MAX_DEPTH and deepest is not None:
        message = f"subflow calls are nested deeper than {MAX_DEPTH}"
        found.append(CallFinding(deepest.path, deepest.node, message, "Call fewer flows within flows."))
    if possible is not None and flow in possible.cycles:
        found.append(_agent_warning(possible.cycles[flow], label))
    return found


def _cycle_error(cycle: Cycle[V], label: Callable[[V], str]) -> CallFinding:
    call = cycle.first.call
    assert call is not None  # the edges of flows have calls
    what = "the flow calls itself" if len(cycle.path) == 2 else "these flows call each other without end"
    message = f"{what}: {cycle_text(cycle, label)}"
    return CallFinding(call.path, call.node, message, "Remove one of these calls, or use a loop.")


def _agent_warning(cycle: Cycle[V | ToolPattern | AgentVertex], label: Callable[[V], str]) -> CallFinding:
    def labelled(vertex: V | ToolPattern | AgentVertex) -> str:
        if isinstance(vertex, AgentVertex):
            return f"agent {vertex.name}"
        return f"tools {vertex.prefix}*" if isinstance(vertex, ToolPattern) else label(vertex)

    call = cycle.first.call
    assert call is not None  # the edges of flows have calls
    message = f"an agent can call the flow that it runs in: {cycle_text(cycle, labelled)}"
    return CallFinding(call.path, call.node, message, "Name the agent's tools without this flow.", is_warning=True)
