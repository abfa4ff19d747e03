"""A router over echo models, and a client that remembers all it was sent: what the tests of this room share."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping

import msgspec

from sizewise.data_class import DataClass, Place
from sizewise.handler import (
    AttemptFinished,
    ChoiceFinished,
    Event,
    Handler,
    ModelSelected,
    ReasoningDelta,
    Request,
    RequestOptions,
    Send,
    TextDelta,
    ToolDelta,
)
from sizewise.messages import ChatRequest, EmbeddingRequest, Reply
from sizewise.model_card import ModelCard
from sizewise.principal import Principal
from sizewise.providers.echo import EchoModel, echo_card
from sizewise.providers.wires.openai.request_response import read_embed, read_request
from sizewise.routing.data_policy import DEFAULT_REACH, DataPolicy
from sizewise.routing.judges.chain import JudgeChain
from sizewise.routing.judges.confidence import confidence
from sizewise.routing.judges.rules import rules
from sizewise.routing.model_aliases import ModelAliases
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.policy import (
    Attempt,
    Candidates,
    Judge,
    Policy,
    PolicyRun,
    RequestFeatures,
    attempt,
    hedge,
    parallel,
    resume,
)
from sizewise.routing.router import Router, always_healthy

SMALL = echo_card("echo/small", parameters=100_000_000)
LARGE = echo_card("echo/large", parameters=70_000_000_000)
JUDGES = JudgeChain((rules, confidence))


def chat(text: str = "one two three", model: str = "auto", **body: object) -> ChatRequest:
    messages = body.pop("messages", [{"role": "user", "content": text}])
    return read_request(msgspec.json.encode({"model": model, "messages": messages, "stream": True, **body}))[0]


def embed(*texts: str, model: str = "auto") -> EmbeddingRequest:
    return read_embed(msgspec.json.encode({"model": model, "input": list(texts)}))[0]


def asking(
    what: ChatRequest | EmbeddingRequest,
    options: RequestOptions = RequestOptions(),
    principal: Principal = Principal(),  # frozen
) -> Request:  # frozen
    return Request(what, principal, uuid.uuid4().hex, time.perf_counter(), options)


class Client:
    """Takes events; `fails` is raised at the first event of the kind `at`."""

    def __init__(self, at: type[Event] | None = None, fails: Exception | None = None) -> None:  # frozen
        self.events: list[Event] = []
        self._at = at
        self._fails = fails

    async def send(self, event: Event) -> None:
        if self._fails is not None and self._at is type(event):
            fails, self._fails = self._fails, None
            raise fails
        self.events.append(event)

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def shown(self) -> list[TextDelta | ReasoningDelta | ToolDelta | ChoiceFinished]:
        return [
            event for event in self.events if isinstance(event, TextDelta | ReasoningDelta | ToolDelta | ChoiceFinished)
        ]

    @property
    def tried(self) -> list[AttemptFinished]:
        return [event for event in self.events if isinstance(event, AttemptFinished)]

    @property
    def results(self) -> list[tuple[str, str]]:
        return [(tried.model, tried.result) for tried in self.tried]

    @property
    def chosen(self) -> ModelSelected:
        (chosen,) = (event for event in self.events if isinstance(event, ModelSelected))
        return chosen


class Routing:
    """`request` asks the router; `echoes` are the models behind it."""

    def __init__(
        self,
        *cards: ModelCard,
        policy: Policy | None = None,
        judge: Judge = JUDGES,
        health: Callable[[ModelCard], str] = always_healthy,
        reach: Mapping[DataClass, Place] = DEFAULT_REACH,
        gate: asyncio.Event | None = None,
        others: Mapping[str, Handler] | None = None,
    ) -> None:
        self.cards = cards or (SMALL, LARGE)
        self.echoes = {card.name: EchoModel(card, gate) for card in self.cards}
        self.names = ModelAliases(self.cards, {"default": policy or CascadePolicy()})
        models: dict[str, Handler] = {**self.echoes, **(others or {})}
        self.routed = Router(
            plan=self.names,
            connect=lambda card: models[card.name],
            judge=judge,
            health_check=health,
            data_policy=DataPolicy(reach),
        )
        self.client = Client()

    async def ask(
        self,
        what: ChatRequest | EmbeddingRequest,
        options: RequestOptions = RequestOptions(),
    ) -> Reply:  # frozen
        self.client = Client()
        return await self.routed(asking(what, options), self.client.send)

    def run(self, what: ChatRequest | EmbeddingRequest, options: RequestOptions = RequestOptions()) -> Reply:  # frozen
        return asyncio.run(self.ask(what, options))


class Plays:
    """A policy made of one generator function, so that a test can say what it wants done."""

    models: tuple[str, ...] = ()

    def __init__(self, plays: Callable[[RequestFeatures, Candidates], PolicyRun]) -> None:
        self._plays = plays

    def route(self, question: RequestFeatures, field: Candidates) -> PolicyRun:
        return self._plays(question, field)


def racing(after_s: float, *names: str) -> Plays:
    def plays(question: RequestFeatures, field: Candidates) -> PolicyRun:
        cards = {candidate.card.name: candidate.card for candidate in field}
        attempts = tuple(Attempt(cards[name], "first to speak", "first_word") for name in names)
        return (yield from hedge(attempts, after_s))

    return Plays(plays)


def agreeing() -> Plays:
    """Asks everybody and takes the first reply."""

    def plays(question: RequestFeatures, field: Candidates) -> PolicyRun:
        outcomes = yield from parallel(tuple(Attempt(candidate.card, "one of all") for candidate in field))
        return next((outcome for outcome in outcomes if outcome.reply is not None), outcomes[-1])

    return Plays(plays)


def resuming() -> Plays:
    def plays(question: RequestFeatures, field: Candidates) -> PolicyRun:
        got = yield from attempt(field[0].card, "first")
        if got.delivered_text:
            got = yield from resume(field[1].card, got.delivered_text, "the first broke off")
        return got

    return Plays(plays)


class Nested:
    """An Handler around a Router, as a guard is: passes all on through its own `send`."""

    def __init__(self, inner: Handler) -> None:
        self._inner = inner

    async def __call__(self, request: Request, send: Send) -> Reply:
        return await self._inner(request, send)
