"""Middleware that answers closed questions by a certified ladder, and learns from the answers that it lets through.

Other requests pass untouched. A small share of the inputs that it could answer goes up all the same, drawn at random:
their answers are compared and learned.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Literal

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from sizewise.cache.fingerprints import plan_fingerprint
from sizewise.cache.response_cache import PlanLookup, is_cacheable
from sizewise.data_class import DataBounds
from sizewise.decisions.certificate import SHIFT_FACTOR, SHIFT_SHARE, ModelRungName, RungAnswer
from sizewise.decisions.decision_store import GUARANTEE, DecisionStore, LearnedInput, LiveQuestion, pack_floats
from sizewise.decisions.question import ClosedRequest, option_index, read_closed_request
from sizewise.errors import SizewiseError
from sizewise.handler import ChoiceFinished, Event, Handler, ModelSelected, Request, RequestOptions, Send, TextDelta
from sizewise.messages import ChatRequest, Choice, Reply, Usage
from sizewise.routing.effort import EFFORT_FIELD
from sizewise.routing.model_aliases import RoutePlan

log = logging.getLogger("sizewise.decisions")

NAME = "decisions"
"""In place of a model's name: `decisions/head` and the like."""
DECISION_FIELD = "decision"
"""Of a reply: which rung answered, and the probability of each option."""
SAMPLE_RATE = 0.05
"""Share of the inputs that a ladder could answer and that go up all the same."""
MAX_PENDING = 1_000
"""Answers that wait to be learned; more are dropped."""
MAX_ASKED = 8
"""Answers that wait to be learned, up to which the small model is asked about them too: it has other work to do."""
Embed = Callable[[Request, str], Awaitable[Sequence[float] | None]]
AskModel = Callable[[Request, ClosedRequest, str], Awaitable[Sequence[float] | None]]
FindModel = Callable[[ClosedRequest, RoutePlan], tuple[ModelRungName, str] | None]


class _Finding(Struct):
    """What is known of an input before the named model is asked. `failure`: the code of the error that ended the
    search; empty: none did.
    """

    live: LiveQuestion | None = None
    vector: Sequence[float] | None = None
    answer: RungAnswer | None = None
    failure: str = ""

    @property
    def may_have_ladder(self) -> bool:
        return bool(self.failure) if self.live is None else self.live.ladder is not None


class DecisionLadders:
    """Wraps a handler. Belongs to one application; what it learns outlives it."""

    def __init__(
        self,
        handler: Handler,
        *,
        store: DecisionStore,
        plan: PlanLookup,
        keep: Literal["vectors", "text"],
        embed: Embed,
        ask_model: AskModel,
        find_model: FindModel,
        data_bounds: Callable[[Request, str], DataBounds],
        draw: Callable[[], float],
    ) -> None:
        """`embed` returns None if no vector can be had. `find_model`: the small model of a question, with its rung;
        `ask_model` returns its probability of each option, or None. `draw` returns a random number from 0 to 1.
        """
        self._handler = handler
        self._store = store
        self._plan = plan
        self._keep = keep
        self._embed = embed
        self._ask_model = ask_model
        self._find_model = find_model
        self._data_bounds = data_bounds
        self._draw = draw
        self._tasks = store.pending

    def __call__(self, request: Request, send: Send) -> Coroutine[object, None, Reply]:
        if not isinstance(request.payload, ChatRequest) or not request.payload.schema:
            return self._handler(request, send)
        return self._decide(request, request.payload, send)

    async def _decide(self, request: Request, chat: ChatRequest, send: Send) -> Reply:
        policy = request.options.policy
        route = chat.model if policy is None else f"{chat.model}:{policy}"
        asked = read_closed_request(chat, route, _scope(request, chat)) if _may_decide(request.options) else None
        if asked is None:
            return await self._handler(request, send)
        plan = self._plan(chat, policy)
        version = plan_fingerprint(plan)
        confidential = self._data_bounds(request, plan.policy_name).data_class == "confidential"
        digest = hashlib.sha256(asked.input.encode("utf-8", "surrogatepass")).hexdigest()
        seen = await self._look_up(request, asked, version, digest, confidential)
        sampled = seen.live is not None and seen.live.ladder is not None and self._draw() < SAMPLE_RATE
        if seen.live is not None and seen.answer is not None and not sampled:
            return await self._give(chat, asked, seen.live, seen.answer, send)
        reason = _why_up(seen, confidential=confidential, sampled=sampled and seen.answer is not None)
        reply = await self._handler(request, _with_reason(send, reason))
        told = option_index(asked.question, reply.text) if is_cacheable(reply) else None
        if told is None or confidential or (seen.may_have_ladder and not sampled):
            return reply
        if len(self._tasks) < MAX_PENDING:
            small = self._find_model(asked, plan) if len(self._tasks) < MAX_ASKED else None
            work = self._learn(request, asked, version, digest, seen, told, sampled, small)
            task = asyncio.get_running_loop().create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return reply

    async def _look_up(
        self, request: Request, asked: ClosedRequest, version: str, digest: str, confidential: bool
    ) -> _Finding:
        """A store or a small model that fails costs the small answer, never the request."""
        seen = _Finding()
        try:
            seen.live = live = await self._store.find(request, asked.question, version)
            ladder = None if live is None else live.ladder
            if live is None or ladder is None:
                return seen
            seen.answer = ladder.answer(digest, None, confidential=confidential)
            if seen.answer is not None:
                return seen
            seen.vector = vector = await self._embed(request, asked.input)
            found = ladder.answer(digest, vector, confidential=confidential)
            if found is None and vector is not None and ladder.asks:
                shares = await self._ask_model(request, asked, ladder.asks)
                found = None if shares is None else ladder.answer_with(vector, shares)
            if live.ladder is ladder:  # else its certificate ended while this request waited
                seen.answer = found
        except SizewiseError as error:
            log.warning("a decision goes up: %s", error.code)
            seen.failure = error.code
        return seen

    async def _give(
        self, chat: ChatRequest, asked: ClosedRequest, live: LiveQuestion, found: RungAnswer, send: Send
    ) -> Reply:
        assert live.ladder is not None
        proof = live.ladder.certificate
        text, name = asked.question.options[found.option], f"{NAME}/{found.rung.replace(' ', '-')}"
        why = (
            f"decision rung {found.rung}: certified to differ from {live.row.route} on at most"
            f" {1 - proof.quality:.0%} of all inputs, also if one answer comes {SHIFT_FACTOR} times as often, up to"
            f" {SHIFT_SHARE:.0%} ({proof.certified_on} answers); this one: trust {found.trust:.2f}"
        )
        await send(ModelSelected(name, why, 0))
        if chat.stream:
            await send(TextDelta(0, text))
            await send(ChoiceFinished(0, "stop"))
        fields = {DECISION_FIELD: Raw(msgspec.json.encode(found))}
        return Reply((Choice(0, text, "stop"),), Usage(), name, fields=fields)

    async def _learn(
        self,
        request: Request,
        asked: ClosedRequest,
        version: str,
        digest: str,
        seen: _Finding,
        told: int,
        sampled: bool,
        small: tuple[ModelRungName, str] | None,
    ) -> None:
        """Without a vector nothing is learned. `sampled`: whether the ladder is compared with this answer."""
        try:
            if sampled and seen.live is not None:
                await self._store.record_sample(seen.live, seen.answer is not None and seen.answer.option != told)
            vector = seen.vector or await self._embed(request, asked.input)
            if vector is None:
                return
            text, instructions = (asked.input, asked.instructions) if self._keep == "text" else ("", "")
            learned = LearnedInput(digest, pack_floats(vector), text)
            shares = None if small is None else await self._try_model(request, asked, small[1])
            if small is not None and shares is not None:
                learned = replace(learned, shares=pack_floats(shares), rung=small[0], model=small[1])
            await self._store.learn(request, asked.question, version, learned, told, instructions)
        except SizewiseError as error:
            log.warning("a decision was not learned: %s", error.code)

    async def _try_model(self, request: Request, asked: ClosedRequest, model: str) -> Sequence[float] | None:
        """None if it fails: the answer is worth learning without it."""
        try:
            return await self._ask_model(request, asked, model)
        except SizewiseError as error:
            log.warning("a decision is learned without %s: %s", model, error.code)
            return None


def _may_decide(options: RequestOptions) -> bool:
    """Whether a rung is as good as the request asks for, and a stored answer welcome."""
    return options.cache is None and (options.min_quality is None or options.min_quality <= GUARANTEE.quality)


def _scope(request: Request, chat: ChatRequest) -> tuple[object, ...]:
    """What the answer depends on besides the question. What is not set adds nothing, so that ids stay what they are."""
    principal, quality = request.principal, request.options.min_quality
    scope = (principal.scope, sorted(principal.permissions), principal.data_class)
    effort = msgspec.json.decode(chat.fields.get(EFFORT_FIELD, b"null"))
    wishes = {name: wish for name, wish in (("effort", effort), ("min_quality", quality)) if wish is not None}
    return (*scope, wishes) if wishes else scope


def _why_up(seen: _Finding, *, confidential: bool, sampled: bool) -> str:
    """Why the model that is named answers, and no rung. `sampled`: though a rung would have."""
    live = seen.live
    if live is None and seen.failure:
        return f"decision: what was learned could not be read ({seen.failure})"
    if live is None or live.ladder is None:
        is_void = live is not None and live.row.state == "void"
        said = f"its certificate is void: {live.row.cause}" if live and is_void else "no rung is certified yet"
        return f"decision: {said}" + (", and nothing confidential is learned" if confidential else "")
    if sampled:
        return "decision: drawn at random, to compare the ladder with this answer"
    if seen.vector is None:
        return "decision: the text is new, and its vector cannot be had"
    if seen.failure:
        return f"decision: the text is new, and {live.ladder.asks} failed ({seen.failure})"
    return "decision: no rung is certified for an input like this" + (" that is confidential" if confidential else "")


def _with_reason(send: Send, reason: str) -> Send:
    async def forward(event: Event) -> None:
        if isinstance(event, ModelSelected):
            event = replace(event, reason=f"{event.reason}; {reason}")
        await send(event)

    return forward
