"""DAG runner: runs ready nodes concurrently, each as one durable step; knows no tables and no engine.

After a crash a run executes again from the beginning, and finished steps return their stored results. So every decision
here depends on the inputs and step results only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import time
from typing import cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sizewise.attempt_progress import ProgressUpdate
from sizewise.data_class import DataClass
from sizewise.errors import BadRequest, Busy, ConfigError, SizewiseError, UpstreamTimeout
from sizewise.flows.call_graph import MAX_DEPTH
from sizewise.flows.compiled_flow import CompiledFlow, CompiledNode, Graph
from sizewise.flows.concurrency import task_group
from sizewise.flows.engine import Steps
from sizewise.flows.language import types
from sizewise.flows.language.diagnostics import did_you_mean
from sizewise.flows.language.expression import ExpressionError, SizeBudget, render_value
from sizewise.flows.language.types import Json
from sizewise.flows.node import Node, NodeContext, NodeDependencies, RunnableFlow
from sizewise.flows.run_context import (
    NodeEvents,
    NodeState,
    NodeTrace,
    RunContext,
    TraceListener,
    ignore_trace,
)
from sizewise.flows.run_limits import RunUsage, unshared_usage
from sizewise.flows.streaming_output import StreamingOutput, discarded_output
from sizewise.handler import (
    ModelSelected,
    Request,
    Send,
    discard_events,
)
from sizewise.messages import Usage
from sizewise.principal import Principal

MAX_OUTPUT_BYTES = 16 * 1024 * 1024
"""Of one node."""
MAX_RETRY_DELAY_S = 300.0


class RunResult(Struct, frozen=True):
    """The result of a run. `usage`, `cost` and `model_calls` do not include steps that were restored from the store."""

    outputs: Mapping[str, Json]
    usage: Usage = Usage()
    cost: int | None = 0
    model_calls: int = 0
    data_class: DataClass | None = None  # the strictest of the request and of what nodes found


async def run_flow(
    flow: CompiledFlow,
    inputs: Mapping[str, Json],
    *,
    id: str,
    request: Request,
    steps: Steps,
    dependencies: NodeDependencies,
    usage: RunUsage | None = None,
    send: Send = discard_events,
    on_trace: TraceListener = ignore_trace,
    current_principal: Callable[[], Principal] | None = None,
) -> RunResult:
    """Executes a run. `request` gives its principal and options; its `payload` is not read.

    `send` receives the text of the stream source as deltas, and the attempts of model calls. `current_principal`
    returns the principal's current permissions, for long runs, or raises if access was revoked. `usage`: None: the
    default limits. Raises BadRequest for invalid inputs, RunLimitExceeded, and what a node raises, with the path of the
    node as prefix.
    """
    with dependencies.spans.open("invoke_workflow", flow.name, request, flow=flow.name) as span:
        whole = RunContext(
            id=id,
            request=span.request,
            steps=steps,
            usage=usage or unshared_usage(),
            dependencies=dependencies,
            on_trace=on_trace,
            send=send,
            current_principal=current_principal,
        )
        names = {"inputs": validate_inputs(flow, inputs)}
        speech = StreamingOutput(
            send,
            flow.stream_source,
            ModelSelected(flow_model_name(flow), f"the flow {flow.name!r}", 0),
        )
        graph = _GraphRun(run=whole, graph=flow.graph, variables=names, path="", output=speech, depth=0, parent=None)
        outputs = cast("dict[str, Json]", await graph())
        await speech.finish(outputs)
        return RunResult(
            outputs=outputs,
            usage=whole.usage,
            cost=whole.cost,
            model_calls=whole.model_calls,
            data_class=whole.request.options.data_class,
        )


def flow_model_name(flow: CompiledFlow) -> str:
    return f"flow:{flow.name}@{flow.version[:12]}"


def validate_inputs(flow: CompiledFlow, inputs: Mapping[str, Json]) -> dict[str, Json]:
    """The inputs with their defaults. Raises BadRequest with up to ten errors."""
    spec = flow.spec
    wrong = [f"there is no input {name[:60]!r}" for name in inputs if name not in spec.inputs]
    made: dict[str, Json] = {}
    for name, each in spec.inputs.items():
        if inputs.get(name) is None and not (name in inputs and each.type.name == "json"):
            made[name] = each.default
            if each.required:
                wrong.append(f"the input {name!r} ({each.type}) is missing")
        else:
            made[name] = inputs[name]
            wrong += types.type_errors(each.type, inputs[name], name)
    if wrong:
        strange = next((name for name in inputs if name not in spec.inputs), "")
        listed = ", ".join(f"{name} ({each.type})" for name, each in spec.inputs.items()) or "nothing"
        hint = (did_you_mean(strange, spec.inputs) if strange else "") or f"the flow {flow.name!r} takes {listed}"
        raise BadRequest("; ".join(wrong[:10]), hint, param=strange or None)
    return made


class _GraphRun:
    """One execution of a graph. `variables`: the names in scope; each node's output is added."""

    def __init__(
        self,
        *,
        run: RunContext,
        graph: Graph,
        variables: dict[str, Json],
        path: str,
        output: StreamingOutput,
        depth: int,
        parent: NodeEvents | None,
    ) -> None:
        self.parent = parent
        self._run = run
        self._graph = graph
        self.variables = variables
        self._path = path
        self._output = output
        self.depth = depth
        self._skipped: set[str] = set()
        self._chosen_cases: dict[str, str] = {}  # branch -> case
        self._pending = [len({*n.required, *n.optional, *(b for b, _ in n.cases)}) for n in graph.nodes]

    async def __call__(self) -> Json:
        """Returns the outputs. If a node fails, cancels the others and raises its error."""
        nodes = self._graph.nodes
        ready = [node for node, waits in zip(nodes, self._pending, strict=True) if not waits]
        if len(ready) == 1 and all(len(each) <= 1 for each in self._graph.successors.values()):
            await self._chain(ready[0], None)
        else:
            async with task_group() as group:
                for node in ready:
                    group.create_task(self._chain(node, group))
        return self._outputs()

    async def _chain(self, node: CompiledNode, group: asyncio.TaskGroup | None) -> None:
        """Runs a node, then the first node it made ready, and so on; other ready nodes start as tasks."""
        following: CompiledNode | None = node
        while following is not None:
            node, following = following, None
            await self._run_node(node)
            for number in self._graph.successors.get(node.id, ()):
                self._pending[number] -= 1
                if self._pending[number]:
                    continue
                if following is None:
                    following = self._graph.nodes[number]
                else:
                    assert group is not None
                    group.create_task(self._chain(self._graph.nodes[number], group))

    def _outputs(self) -> Json:
        room = SizeBudget()
        try:
            made = render_value(self._graph.outputs, self.variables, room)
            self._run.limits.count_bytes(room.used)
            return made
        except ExpressionError as wrong:
            raise BadRequest(f"the outputs: {wrong.message}", wrong.hint) from wrong

    async def _run_node(self, node: CompiledNode) -> None:
        place = f"{self._path}.{node.id}" if self._path else node.id
        if self._is_skipped(node):
            self._skipped.add(node.id)
            self.variables[node.id] = None
            self._output.node_ended(node.id, None, "")
            self._run.on_trace(NodeTrace(place, node.kind_name, "skipped", time()))
            return
        gave = await _NodeRun(level=self, run=self._run, node=node, path=place, output=self._output).run()
        self.variables[node.id] = gave
        self._output.node_ended(node.id, gave, node.streaming_field)
        if isinstance(gave, dict) and isinstance(gave.get("case"), str):
            self._chosen_cases[node.id] = gave["case"]

    def _is_skipped(self, node: CompiledNode) -> bool:
        skipped = self._skipped
        if node.cases and not any(self._chosen_cases.get(branch) == case for branch, case in node.cases):
            return True
        if any(name in skipped for name in node.required):
            return True
        return (
            bool(node.optional)
            and not node.required
            and not node.cases
            and all(name in skipped for name in node.optional)
        )


class _NodeRun:
    """One execution of a node: its parameters, its step with retries, its trace."""

    def __init__(
        self,
        *,
        level: _GraphRun,
        run: RunContext,
        node: CompiledNode,
        path: str,
        output: StreamingOutput,
    ) -> None:
        self._level = level
        self._run = run
        self._node = node
        self._path = path
        outer = run.request if level.parent is None else replace(run.request, origin=level.parent.origin)
        self._span = run.dependencies.spans.open("node", path, outer, kind=node.kind_name, node=path)
        self._events = NodeEvents(
            run=run,
            path=path,
            output=output,
            streams=output.can_stream(node.id),
            parent=level.parent,
            origin=self._span.origin,
        )
        self._executed = False

    async def run(self) -> Json:
        with self._span as span:
            gave = await self._run_reported()
            span.is_recorded = self._executed or not self._node.node_class.is_step
            return gave

    async def _run_reported(self) -> Json:
        node, whole, began = self._node, self._run, time()
        await whole.limits.turn()
        whole.limits.count_steps()
        whole.on_trace(NodeTrace(self._path, node.kind_name, "running", began))
        try:
            if whole.request.options.progress:
                await whole.send(ProgressUpdate("step", step=self._path))
            gave = await self._run_step() if node.node_class.is_step else await self._run_once(self._build_node())
        except SizewiseError as error:
            self._report(began, "failed", error.code)
            raise with_node_path(error, self._path) from error.__cause__
        except asyncio.CancelledError:
            self._report(began, "failed", "cancelled")
            raise
        if node.node_class.sets_data_class and isinstance(gave, dict):
            whole.tighten_data_class(gave.get("data_class"))
        self._report(began, "done" if self._executed or not node.node_class.is_step else "kept")
        return gave

    def _report(self, began: float, state: NodeState, error: str = "") -> None:
        ears = self._events
        self._run.on_trace(
            NodeTrace(
                self._path,
                self._node.kind_name,
                state,
                began,
                ended=time(),
                model=ears.model,
                usage=ears.usage,
                cost=ears.cost,
                error=error,
                why=ears.why,
            ),
        )

    def _build_node(self) -> Node:
        node = self._node
        if node.node is not None:
            return node.node
        try:
            values = render_value(node.values, self._level.variables)
            return msgspec.convert(values, node.node_class)
        except ExpressionError as wrong:
            raise BadRequest(wrong.message, wrong.hint) from wrong
        except msgspec.ValidationError as wrong:
            said = str(wrong).replace("`$.", "`")
            raise BadRequest(f"invalid parameter: {said[:1].lower()}{said[1:]}") from wrong

    async def _run_step(self) -> Json:
        """Encodes the result as JSON even if nothing is stored, so that it is the same after a crash."""
        made = await self._run.steps.step(self._path, self._execute)
        self._run.limits.count_bytes(len(made))
        return msgspec.json.decode(made)

    async def _execute(self) -> bytes:
        self._executed = True
        kind = self._build_node()
        gave = await self._run_with_retries(kind)
        try:
            made = msgspec.json.encode(gave)
        except (TypeError, OverflowError) as wrong:
            raise ConfigError(
                f"the {self._node.kind_name!r} node returned a value that JSON cannot represent: {wrong}"
            ) from wrong
        if len(made) > MAX_OUTPUT_BYTES:
            raise BadRequest(
                f"the output is larger than {MAX_OUTPUT_BYTES} bytes", "Return less, or process the data in parts."
            )
        if self._events.model or self._events.cost:
            self._run.steps.annotate(self._path, model=self._events.model, cost=self._events.cost or 0)
        return made

    async def _run_with_retries(self, kind: Node) -> Json:
        retry = self._node.retry
        for tried in range(1, retry.times + 1):
            try:
                return await self._run_once(kind)
            except SizewiseError as error:
                if tried == retry.times or self._events.has_streamed or not is_retryable(error):
                    raise
                pause = max(retry.wait_s * 2 ** (tried - 1), error.retry_after or 0)
                await asyncio.sleep(min(pause, MAX_RETRY_DELAY_S))
        raise AssertionError("a node has at least one attempt")

    async def _run_once(self, kind: Node) -> Json:
        whole, limit = self._run, self._node.timeout_s
        key = f"{whole.id}:{self._path}"
        job = NodeContext(
            path=self._path,
            idempotency_key=key,
            request=replace(whole.current_request(), origin=self._span.origin),
            dependencies=whole.dependencies,
            send=self._events,
            steps=whole.inner_steps,
            body=_NodeBody(self),
            streams=self._events.streams,
            remaining_cost=whole.remaining_cost,
        )
        if limit is None:
            return await kind.run(job)
        try:
            async with asyncio.timeout(limit):
                return await kind.run(job)
        except TimeoutError:
            raise UpstreamTimeout(
                f"timed out after {limit:g} s", "Raise `timeout_s`, or give the node less work."
            ) from None

    # ---- the body ---------------------------------------------------------------------------------------------------

    def outer_variables(self) -> dict[str, Json]:
        """The variables that the body uses from outside."""
        names = self._level.variables
        return {name: names[name] for name in self._node.outer_names if name in names}

    async def run_body(self, suffix: str, names: Mapping[str, Json]) -> Json:
        assert self._node.body is not None
        inside = {**self.outer_variables(), **names}
        place = f"{self._path}{suffix}"
        level = _GraphRun(
            run=self._run,
            graph=self._node.body,
            variables=inside,
            path=place,
            output=discarded_output(),
            depth=self._level.depth,
            parent=self._events,
        )
        return await level()

    def require_rounds(self, count: int) -> None:
        """A round runs at least the nodes that no branch can skip."""
        assert self._node.body is not None
        nodes = self._node.body.nodes
        certain = len(nodes) if not any(node.cases for node in nodes) else 1
        self._run.limits.require_steps(count * certain)

    def evaluate_parameter(self, name: str, names: Mapping[str, Json]) -> Json:
        try:
            return render_value(self._node.late_parameters.get(name), {**self.outer_variables(), **names})
        except ExpressionError as wrong:
            raise BadRequest(f"`{name}`: {wrong.message}", wrong.hint) from wrong

    async def run_flow(self, flow: RunnableFlow, inputs: Mapping[str, Json], send: Send) -> Json:
        depth = self._level.depth + 1
        if depth > MAX_DEPTH:
            raise BadRequest(
                f"subflow calls are nested deeper than {MAX_DEPTH}", "Check whether a flow calls itself endlessly."
            )
        other = cast("CompiledFlow", flow)
        names = {"inputs": validate_inputs(other, inputs)}
        speech = StreamingOutput(send, other.stream_source, ModelSelected("", "", 0))
        graph = _GraphRun(
            run=self._run,
            graph=other.graph,
            variables=names,
            path=self._path,
            output=speech,
            depth=depth,
            parent=self._events,
        )
        outputs = await graph()
        if self._events.streams:
            await speech.finish(outputs)
        return outputs


class _NodeBody:
    """The NodeBody of a node: runs its inner nodes, and other flows."""

    def __init__(self, node: _NodeRun) -> None:
        self._node = node

    async def __call__(self, suffix: str, names: Mapping[str, Json]) -> Json:
        return await self._node.run_body(suffix, names)

    def require_rounds(self, count: int) -> None:
        self._node.require_rounds(count)

    def evaluate_parameter(self, name: str, names: Mapping[str, Json]) -> Json:
        return self._node.evaluate_parameter(name, names)

    async def run_flow(self, flow: RunnableFlow, inputs: Mapping[str, Json], send: Send) -> Json:
        return await self._node.run_flow(flow, inputs, send)


def is_retryable(error: SizewiseError) -> bool:
    """Whether a retry may succeed: the cause is outside the flow."""
    return isinstance(error, Busy) or (error.status >= 500 and not isinstance(error, ConfigError))


def with_node_path(error: SizewiseError, path: str) -> SizewiseError:
    """Prefixes the error's message with `path`, unless an inner node has done so."""
    if not error.flow_node:
        error.flow_node = path
        error.message = f"{path}: {error.message}"
        error.args = (error.message,)
    return error
