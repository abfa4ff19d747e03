"""The middleware of certified ladders where a certificate ends while a request waits for its vector."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from sizewise.cache.fingerprints import plan_fingerprint
from sizewise.decisions.certificate import LOOKS
from sizewise.decisions.decision_store import LearnedInput, pack_floats
from sizewise.decisions.ladder_middleware import DecisionLadders
from sizewise.decisions.question import ClosedRequest
from sizewise.handler import Event, Request, Send
from sizewise.messages import ChatRequest, Choice, Reply, Usage
from sizewise.routing.data_policy import DataPolicyDecision
from sizewise.routing.model_aliases import RoutePlan
from sizewise.routing.policies.fixed import FixedPolicy
from tests.decisions.test_decision_store import PRINCIPAL, opened
from tests.decisions.test_ladder import OPTIONS, stream
from tests.decisions.test_question import chat, closed

PLAN = RoutePlan("large", FixedPolicy(), "fixed", ())
VECTORS, TRUTH = stream(0, LOOKS[0])


def request(text: str) -> Request:
    schema = {"enum": [f"option {number}" for number in range(OPTIONS)]}
    return Request(chat(schema, text), PRINCIPAL, "0" * 32, time.perf_counter())


async def large(request: Request, send: Send) -> Reply:
    return Reply((Choice(0, '"option 1"', "stop"),), Usage(), "large")


async def no_model(request: Request, asked: ClosedRequest, model: str) -> None:
    return None


async def ignore(event: Event) -> None:
    pass


def test_a_certificate_that_ends_while_a_request_waits_for_its_vector_sends_it_up(tmp_path: Path) -> None:
    async def work() -> None:
        async with opened(tmp_path) as store:
            ends = [False]

            async def embed(waiting: Request, text: str) -> Sequence[float]:
                if ends[0]:
                    live = await store.find(waiting, asked.question, version)
                    assert live is not None and live.ladder is not None
                    while live.ladder is not None:  # drift, seen by others meanwhile
                        await store.record_sample(live, disagreed=True)
                vector: Sequence[float] = VECTORS[0].tolist()
                return vector

            ladders = DecisionLadders(
                large,
                store=store,
                plan=lambda asked, policy: PLAN,
                keep="vectors",
                embed=embed,
                ask_model=no_model,
                find_model=lambda asked, plan: None,
                data_bounds=lambda request, policy: DataPolicyDecision("internal", "", None, "", ""),
                draw=lambda: 1.0,
            )
            version, scope = (
                plan_fingerprint(PLAN),
                (PRINCIPAL.scope, sorted(PRINCIPAL.permissions), PRINCIPAL.data_class),
            )
            payload = request("a new text").payload
            assert isinstance(payload, ChatRequest)
            asked = closed(payload, scope=scope)
            for at, option in enumerate(TRUTH.tolist()):
                learned = LearnedInput(f"digest {at}", pack_floats(VECTORS[at].tolist()))
                await store.learn(request("a new text"), asked.question, version, learned, option)
            before = await ladders(request("a new text"), ignore)
            assert before.model.startswith("decisions/") and before.text == f'"option {TRUTH[0]}"'
            ends[0] = True
            assert (await ladders(request("another"), ignore)).model == "large"

    asyncio.run(work())
