"""The middleware of certified ladders: which requests a ladder may answer, and what it does where something fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sizewise.cache.fingerprints import plan_fingerprint
from sizewise.decisions.certificate import LOOKS
from sizewise.decisions.decision_store import DecisionStore, LearnedInput, pack_floats
from sizewise.decisions.head import Floats, Integers
from sizewise.decisions.ladder_middleware import AskModel, DecisionLadders, Embed, FindModel
from sizewise.decisions.question import ClosedRequest
from sizewise.errors import ModelUnavailable
from sizewise.handler import NO_OPTIONS, Event, Handler, ModelSelected, Request, RequestOptions, Send
from sizewise.messages import ChatRequest, Choice, Reply, Usage
from sizewise.routing.data_policy import DataPolicyDecision
from sizewise.routing.model_aliases import RoutePlan
from sizewise.routing.policies.fixed import FixedPolicy
from tests.decisions.test_decision_store import COUNT, MODEL, PRINCIPAL, SHARES, measure, opened
from tests.decisions.test_decision_store import TRUTH as HARD_TRUTH
from tests.decisions.test_decision_store import VECTORS as HARD_VECTORS
from tests.decisions.test_ladder import OPTIONS, stream
from tests.decisions.test_model_rung import HARD, shares
from tests.decisions.test_question import chat, closed

PLAN = RoutePlan("large", FixedPolicy(), "fixed", ())
VECTORS, TRUTH = stream(0, LOOKS[0])


def request(text: str, options: RequestOptions = NO_OPTIONS, **more: object) -> Request:
    schema = {"enum": [f"option {number}" for number in range(OPTIONS)]}
    return Request(chat(schema, text, more=more), PRINCIPAL, "0" * 32, time.perf_counter(), options)


def asked_by(request: Request) -> ClosedRequest:
    scope = (PRINCIPAL.scope, sorted(PRINCIPAL.permissions), PRINCIPAL.data_class)
    assert isinstance(request.payload, ChatRequest)
    return closed(request.payload, scope=scope)


async def large(request: Request, send: Send) -> Reply:
    await send(ModelSelected("large", "it is named", 1))
    return Reply((Choice(0, '"option 1"', "stop"),), Usage(), "large")


async def no_model(request: Request, asked: ClosedRequest, model: str) -> None:
    return None


async def failing_model(request: Request, asked: ClosedRequest, model: str) -> None:
    raise ModelUnavailable(f"{model} is away", "start it")


async def one_vector(request: Request, text: str) -> Sequence[float]:
    vector: Sequence[float] = VECTORS[0].tolist()
    return vector


async def ignore(event: Event) -> None:
    pass


def ladders_of(
    store: DecisionStore,
    handler: Handler = large,
    *,
    embed: Embed = one_vector,
    ask_model: AskModel = no_model,
    find_model: FindModel = lambda asked, plan: None,
) -> DecisionLadders:
    return DecisionLadders(
        handler,
        store=store,
        plan=lambda asked, policy: PLAN,
        keep="vectors",
        embed=embed,
        ask_model=ask_model,
        find_model=find_model,
        data_bounds=lambda request, policy: DataPolicyDecision("internal", "", None, "", ""),
        draw=lambda: 1.0,
    )


async def learn(store: DecisionStore, vectors: Floats, truth: Integers) -> None:
    question, version = asked_by(request("a new text")).question, plan_fingerprint(PLAN)
    for at, option in enumerate(truth.tolist()):
        learned = LearnedInput(f"digest {at}", pack_floats(vectors[at].tolist()), f"text {at}")
        await store.learn(request("a new text"), question, version, learned, option)


@asynccontextmanager
async def certified(home: Path) -> AsyncIterator[DecisionStore]:
    """A store whose ladder answers what is like the first input."""
    async with opened(home) as store:
        await learn(store, VECTORS, TRUTH)
        yield store


async def answer_counts(store: DecisionStore) -> list[int]:
    """Of each question, the largest first, once all is learned that was asked."""
    await asyncio.gather(*store.pending)
    return sorted((count for *_, count in await store.list("t", "p")), reverse=True)


async def test_a_certificate_that_ends_while_a_request_waits_for_its_vector_sends_it_up(tmp_path: Path) -> None:
    async with certified(tmp_path) as store:
        ends = [False]
        asked, version = asked_by(request("a new text")), plan_fingerprint(PLAN)

        async def embed(waiting: Request, text: str) -> Sequence[float]:
            if ends[0]:
                live = await store.find(waiting, asked.question, version)
                assert live is not None and live.ladder is not None
                while live.ladder is not None:  # drift, seen by others meanwhile
                    await store.record_sample(live, disagreed=True)
            return await one_vector(waiting, text)

        ladders = ladders_of(store, embed=embed)
        before = await ladders(request("a new text"), ignore)
        assert before.model.startswith("decisions/") and before.text == f'"option {TRUTH[0]}"'
        ends[0] = True
        assert (await ladders(request("another"), ignore)).model == "large"


async def test_a_request_for_more_quality_than_is_certified_goes_up_and_teaches_nothing(tmp_path: Path) -> None:
    async with certified(tmp_path) as store:
        ladders, before = ladders_of(store), await answer_counts(store)
        assert (await ladders(request("a text"), ignore)).model.startswith("decisions/")
        better = request("a text", RequestOptions(min_quality=0.99))
        assert (await ladders(better, ignore)).model == "large"
        assert await answer_counts(store) == before
        enough = request("a text", RequestOptions(min_quality=0.9))
        assert (await ladders(enough, ignore)).model == "large", "a ladder of its own, which begins large"
        assert await answer_counts(store) == [*before, 1]


async def test_each_effort_has_a_ladder_of_its_own(tmp_path: Path) -> None:
    async with certified(tmp_path) as store:
        ladders, before = ladders_of(store), await answer_counts(store)
        assert (await ladders(request("a text", reasoning_effort=None), ignore)).model.startswith("decisions/")
        for effort in ("low", "high", "high"):
            assert (await ladders(request("a text", reasoning_effort=effort), ignore)).model == "large"
        assert await answer_counts(store) == [*before, 2, 1]


async def test_where_the_small_model_fails_the_reason_says_so_and_the_hard_input_teaches_nothing(
    tmp_path: Path,
) -> None:
    vectors, truth = stream(77, 400, noise=HARD)
    said, reasons = shares(77, truth, 0.95), list[str]()

    async def listen(event: Event) -> None:
        assert isinstance(event, ModelSelected)
        reasons.append(event.reason)

    async with opened(tmp_path) as store:
        await learn(store, HARD_VECTORS, HARD_TRUTH)
        question = asked_by(request("a text")).question
        await measure(store, MODEL, SHARES, id=question.id)
        await store.certify("t", "p", question.id)
        live = await store.find(request("a text"), question, plan_fingerprint(PLAN))
        assert live is not None and live.ladder is not None and live.ladder.asks == MODEL
        hard: Sequence[float] = next(
            vector
            for vector, of_model in zip(vectors.tolist(), said.tolist(), strict=True)
            if live.ladder.answer("new", vector) is None and live.ladder.answer_with(vector, of_model) is not None
        )

        async def embed(waiting: Request, text: str) -> Sequence[float]:
            return hard

        ladders = ladders_of(store, embed=embed, ask_model=failing_model)
        assert (await ladders(request("a text"), listen)).model == "large"
        assert reasons == [f"it is named; decision: the text is new, and {MODEL} failed (model_unavailable)"]
        assert await answer_counts(store) == [COUNT]


async def test_an_answer_is_learned_also_where_the_small_model_fails(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        ladders = ladders_of(store, ask_model=failing_model, find_model=lambda asked, plan: ("next token", MODEL))
        assert (await ladders(request("a text"), ignore)).model == "large"
        assert await answer_counts(store) == [1]
