"""Flows as texts, checked and run over echo models in this process: what the tests of the language share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sizewise.flows.compiled_flow import CompiledFlow
from sizewise.flows.dag_runner import RunResult, run_flow
from sizewise.flows.engines.inline import InMemorySteps
from sizewise.flows.node import NodeDependencies
from sizewise.flows.node_registry import NodeRegistry
from sizewise.flows.run_context import NodeTrace
from sizewise.flows.validator import SignatureLookup, ValidationResult, no_flows, validate_flow
from sizewise.handler import Event, Request, RequestOptions, Send, TextDelta
from sizewise.messages import ChatRequest, Reply
from sizewise.providers.echo import EchoModel
from sizewise.routing.model_aliases import ModelAliases
from sizewise.routing.policies.fixed import FixedPolicy
from sizewise.routing.router import Router
from tests.routing.router_harness import JUDGES, LARGE, SMALL, asking, chat
from tests.timeouts import run_with_timeout

KINDS = NodeRegistry()


class RecordedRequest:
    """The echo models behind a router, and all that they were asked."""

    def __init__(self) -> None:
        self.asks: list[Request] = []
        echoes = {card.name: EchoModel(card) for card in (SMALL, LARGE)}
        names = ModelAliases((SMALL, LARGE), {"default": FixedPolicy()})
        self._routed = Router(plan=names, connect=lambda card: echoes[card.name], judge=JUDGES)

    async def __call__(self, request: Request, send: Send) -> Reply:
        self.asks.append(request)
        return await self._routed(request, send)

    def prompts(self) -> list[str]:
        return [ask.payload.messages[-1].text for ask in self.asks if isinstance(ask.payload, ChatRequest)]


@dataclass
class Ran:
    """A run, its events and traces. `steps` can be handed to another run, as after a crash."""

    asked: RecordedRequest = field(default_factory=RecordedRequest)
    steps: InMemorySteps = field(default_factory=InMemorySteps)
    events: list[Event] = field(default_factory=list)
    traces: list[NodeTrace] = field(default_factory=list)
    outcome: RunResult = field(default_factory=lambda: RunResult({}))

    @property
    def outputs(self) -> dict[str, Any]:
        return dict(self.outcome.outputs)

    @property
    def words(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, TextDelta)]

    def states(self, state: str = "") -> dict[str, str]:
        """By place the last state."""
        found = {trace.path: trace.state for trace in self.traces}
        return {place: each for place, each in found.items() if state in ("", each)}

    async def send(self, event: Event) -> None:
        self.events.append(event)


def checked(text: str, others: SignatureLookup = no_flows) -> ValidationResult:
    return validate_flow(text, KINDS, others)


def flow(text: str, others: SignatureLookup = no_flows) -> CompiledFlow:
    """Fails with the findings where there are mistakes."""
    made = checked(text, others)
    assert made.flow is not None, "\n".join(map(str, made.diagnostics))
    return made.flow


def ran(
    text: str | CompiledFlow,
    inputs: dict[str, Any] | None = None,
    *,
    options: RequestOptions = RequestOptions(),  # frozen
    again: Ran | None = None,
    dependencies: Callable[[NodeDependencies], NodeDependencies] = lambda means: means,
) -> Ran:
    """Runs it to its end. `again`: with the steps of a run before."""
    made = flow(text) if isinstance(text, str) else text
    here = Ran(steps=again.steps) if again is not None else Ran()
    run_with_timeout(going(made, inputs or {}, here, options, dependencies(NodeDependencies(here.asked))))
    return here


async def going(
    made: CompiledFlow,
    inputs: dict[str, Any],
    here: Ran,
    options: RequestOptions,
    dependencies: NodeDependencies,
) -> None:
    here.outcome = await run_flow(
        made,
        inputs,
        id="run1",
        request=asking(chat("nobody's"), options),
        steps=here.steps,
        dependencies=dependencies,
        send=here.send,
        on_trace=here.traces.append,
    )


def value(expression: str, **inputs: Any) -> Any:
    """What an expression comes to; inputs are json."""
    given = ", ".join(f"{name}: json" for name in inputs)
    text = f"name: x\ninputs: {{{given}}}\nnodes: {{}}\noutputs:\n  out: {json.dumps(expression)}\n"
    return ran(text, inputs).outputs["out"]
