"""Flows as texts, checked and run over echo models in this process: what the tests of the language share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sizewise.flows.compiled_flow import Flow
from sizewise.flows.dag_runner import Outcome, Trace, run
from sizewise.flows.engines.inline import Memory
from sizewise.flows.node import Means
from sizewise.flows.node_registry import Kinds
from sizewise.flows.validator import Checked, Others, check, nobody
from sizewise.handler import Ask, Event, Send, Text, Wishes
from sizewise.messages import Chat, Reply
from sizewise.providers.echo import Echo
from sizewise.routing.model_aliases import Names
from sizewise.routing.policies.fixed import Fixed
from sizewise.routing.router import Routed
from tests.routing.router_harness import JUDGES, LARGE, SMALL, asking, chat

KINDS = Kinds()
T = TypeVar("T")


class Asked:
    """The echo models behind a router, and all that they were asked."""

    def __init__(self) -> None:
        self.asks: list[Ask] = []
        echoes = {card.name: Echo(card) for card in (SMALL, LARGE)}
        names = Names((SMALL, LARGE), {"default": Fixed()})
        self._routed = Routed(names, lambda card: echoes[card.name], JUDGES)

    async def __call__(self, ask: Ask, send: Send) -> Reply:
        self.asks.append(ask)
        return await self._routed(ask, send)

    def prompts(self) -> list[str]:
        return [ask.what.messages[-1].text for ask in self.asks if isinstance(ask.what, Chat)]


@dataclass
class Ran:
    """A run, its events and traces. `steps` can be handed to another run, as after a crash."""

    asked: Asked = field(default_factory=Asked)
    steps: Memory = field(default_factory=Memory)
    events: list[Event] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    outcome: Outcome = field(default_factory=lambda: Outcome({}))

    @property
    def outputs(self) -> dict[str, Any]:
        return dict(self.outcome.outputs)

    @property
    def words(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Text)]

    def states(self, state: str = "") -> dict[str, str]:
        """By place the last state."""
        found = {trace.place: trace.state for trace in self.traces}
        return {place: each for place, each in found.items() if state in ("", each)}

    async def send(self, event: Event) -> None:
        self.events.append(event)


def checked(text: str, others: Others = nobody) -> Checked:
    return check(text, KINDS, others)


def flow(text: str, others: Others = nobody) -> Flow:
    """Fails with the findings where there are mistakes."""
    made = checked(text, others)
    assert made.flow is not None, "\n".join(map(str, made.findings))
    return made.flow


def soon(work: Coroutine[Any, Any, T]) -> T:
    """Ends it after 20 s."""

    async def timed() -> T:
        async with asyncio.timeout(20):
            return await work

    return asyncio.run(timed())


def ran(
    text: str | Flow,
    inputs: dict[str, Any] | None = None,
    *,
    wishes: Wishes = Wishes(),  # noqa: B008  # frozen
    again: Ran | None = None,
    means: Callable[[Means], Means] = lambda means: means,
) -> Ran:
    """Runs it to its end. `again`: with the steps of a run before."""
    made = flow(text) if isinstance(text, str) else text
    here = Ran(steps=again.steps) if again is not None else Ran()
    soon(going(made, inputs or {}, here, wishes, means(Means(here.asked))))
    return here


async def going(made: Flow, inputs: dict[str, Any], here: Ran, wishes: Wishes, means: Means) -> None:
    here.outcome = await run(
        made,
        inputs,
        id="run1",
        ask=asking(chat("nobody's"), wishes),
        steps=here.steps,
        means=means,
        send=here.send,
        watch=here.traces.append,
    )


def value(expression: str, **inputs: Any) -> Any:
    """What an expression comes to; inputs are json."""
    given = ", ".join(f"{name}: json" for name in inputs)
    text = f"name: x\ninputs: {{{given}}}\nnodes: {{}}\noutputs:\n  out: {json.dumps(expression)}\n"
    return ran(text, inputs).outputs["out"]
