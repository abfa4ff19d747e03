"""A router over echo models, and a client that remembers all it was sent: what the tests of this room share."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping

import msgspec

from sizewise.data_class import DataClass, Place
from sizewise.handler import Answerer, Ask, Chosen, Event, Finished, Send, Text, Thought, ToolDelta, Tried, Wishes
from sizewise.messages import Chat, Embed, Reply
from sizewise.model_card import Card
from sizewise.principal import Caller
from sizewise.providers.echo import Echo, echo_card
from sizewise.providers.wires.openai.request_response import read_embed, read_request
from sizewise.routing.data_policy import EVERYWHERE, Terms
from sizewise.routing.judges.chain import Trust
from sizewise.routing.judges.confidence import confidence
from sizewise.routing.judges.rules import rules
from sizewise.routing.model_aliases import Names
from sizewise.routing.policies.cascade import Cascade
from sizewise.routing.policy import Attempt, Field, Judging, Policy, Question, Route, attempt, everyone, race, resume
from sizewise.routing.router import Routed, well

SMALL = echo_card("echo/small", parameters=100_000_000)
LARGE = echo_card("echo/large", parameters=70_000_000_000)
JUDGES = Trust((rules, confidence))


def chat(text: str = "one two three", model: str = "auto", **body: object) -> Chat:
    messages = body.pop("messages", [{"role": "user", "content": text}])
    return read_request(msgspec.json.encode({"model": model, "messages": messages, "stream": True, **body}))[0]


def embed(*texts: str, model: str = "auto") -> Embed:
    return read_embed(msgspec.json.encode({"model": model, "input": list(texts)}))[0]


def asking(what: Chat | Embed, wishes: Wishes = Wishes(), caller: Caller = Caller()) -> Ask:  # noqa: B008  # frozen
    return Ask(what, caller, uuid.uuid4().hex, time.perf_counter(), wishes)


class Client:
    """Takes events; `fails` is raised at the first event of the kind `at`."""

    def __init__(self, at: type[Event] | None = None, fails: Exception | None = None) -> None:
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
        return "".join(event.text for event in self.events if isinstance(event, Text))

    @property
    def shown(self) -> list[Text | Thought | ToolDelta | Finished]:
        return [event for event in self.events if isinstance(event, Text | Thought | ToolDelta | Finished)]

    @property
    def tried(self) -> list[Tried]:
        return [event for event in self.events if isinstance(event, Tried)]

    @property
    def results(self) -> list[tuple[str, str]]:
        return [(tried.model, tried.result) for tried in self.tried]

    @property
    def chosen(self) -> Chosen:
        (chosen,) = (event for event in self.events if isinstance(event, Chosen))
        return chosen


class Routing:
    """`ask` asks the router; `echoes` are the models behind it."""

    def __init__(
        self,
        *cards: Card,
        policy: Policy | None = None,
        judge: Judging = JUDGES,
        health: Callable[[Card], str] = well,
        reach: Mapping[DataClass, Place] = EVERYWHERE,
        gate: asyncio.Event | None = None,
        others: Mapping[str, Answerer] | None = None,
    ) -> None:
        self.cards = cards or (SMALL, LARGE)
        self.echoes = {card.name: Echo(card, gate) for card in self.cards}
        self.names = Names(self.cards, {"default": policy or Cascade()})
        models: dict[str, Answerer] = {**self.echoes, **(others or {})}
        self.routed = Routed(self.names, lambda card: models[card.name], judge, health, Terms(reach))
        self.client = Client()

    async def ask(self, what: Chat | Embed, wishes: Wishes = Wishes()) -> Reply:  # noqa: B008  # frozen
        self.client = Client()
        return await self.routed(asking(what, wishes), self.client.send)

    def run(self, what: Chat | Embed, wishes: Wishes = Wishes()) -> Reply:  # noqa: B008  # frozen
        return asyncio.run(self.ask(what, wishes))


class Plays:
    """A policy made of one generator function, so that a test can say what it wants done."""

    models: tuple[str, ...] = ()

    def __init__(self, plays: Callable[[Question, Field], Route]) -> None:
        self._plays = plays

    def route(self, question: Question, field: Field) -> Route:
        return self._plays(question, field)


def racing(after_s: float, *names: str) -> Plays:
    def plays(question: Question, field: Field) -> Route:
        cards = {candidate.card.name: candidate.card for candidate in field}
        attempts = tuple(Attempt(cards[name], "first to speak", "first_word") for name in names)
        return (yield from race(attempts, after_s))

    return Plays(plays)


def agreeing() -> Plays:
    """Asks everybody and takes the first reply."""

    def plays(question: Question, field: Field) -> Route:
        outcomes = yield from everyone(tuple(Attempt(candidate.card, "one of all") for candidate in field))
        return next((outcome for outcome in outcomes if outcome.reply is not None), outcomes[-1])

    return Plays(plays)


def resuming() -> Plays:
    def plays(question: Question, field: Field) -> Route:
        got = yield from attempt(field[0].card, "first")
        if got.said:
            got = yield from resume(field[1].card, got.said, "the first broke off")
        return got

    return Plays(plays)


async def until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    """Polls; fails when it has not come true in time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.001)


class Nested:
    """An Answerer around a Routed, as a guard is: passes all on through its own `send`."""

    def __init__(self, inner: Answerer) -> None:
        self._inner = inner

    async def __call__(self, ask: Ask, send: Send) -> Reply:
        return await self._inner(ask, send)
