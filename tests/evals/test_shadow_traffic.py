"""The other side is asked for a share of requests, behind the client's back and never at its cost; scores are kept."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sizewise.app.services import Services, open_services
from sizewise.errors import ConfigError, SizewiseError
from sizewise.evals import shadow_traffic
from sizewise.evals.llm_judge import Preference
from sizewise.evals.paired_answers import AskJudge
from sizewise.evals.quality_monitor import MonitoredPolicy
from sizewise.evals.shadow_traffic import ShadowComparisons, ShadowTraffic, judge_card
from sizewise.handler import Handler, Request, RequestOptions, Send
from sizewise.messages import ChatRequest, Reply
from sizewise.principal import Principal
from sizewise.providers.echo import EchoModel, echo_card
from sizewise.routing.data_policy import DataPolicy
from sizewise.routing.guarantees.bounds import QualityGuarantee
from sizewise.routing.model_aliases import ModelAliases
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.router import Router, always_healthy
from sizewise.routing.session_affinity import SessionAffinity
from sizewise.routing.session_store import SessionStore
from sizewise.settings.routing import ShadowSettings
from sizewise.telemetry.metrics import Metrics
from sizewise.telemetry.prometheus import render_metrics
from sizewise.telemetry.record_queries import RecordFilter
from sizewise.telemetry.recorder import RecordingMiddleware
from tests.routing.router_harness import JUDGES, Client, asking, chat, embed
from tests.timeouts import until

SMALL = echo_card("echo/small", parameters=100_000_000)
LARGE = echo_card("echo/large", parameters=70_000_000_000)
JUDGE = echo_card("echo/judge", parameters=1_000_000_000)
CANARY = "canary-7d1f"
DIFFERS = "[[echo/small: say worse words]] one two three"
DOUBTED = "[[echo/small: logprob -9]] [[echo/small: say worse words]] one two three"


async def compare(request: AskJudge, question: str, one: str, other: str) -> Preference:
    """As the real one, but the judge, an echo, says everything again: so the worse answer is known by its own word."""
    if one == other:
        return Preference(0.0, "both say the same")
    said = await request(f"{one} | {other}")
    assert said == f"{one} | {other}"
    return Preference(None if "undecided" in one else 1.0 if "worse" in one else 0.0, "", "swapped" in one)


class Onion:
    """A router over echoes with its records and a shadow, as house.py puts them together."""

    def __init__(
        self,
        services: Services,
        wanted: ShadowSettings,
        gate: asyncio.Event | None = None,
        draw: float = 0.0,
    ) -> None:
        self.services = services
        self.metrics = Metrics(services.records.queue_counts)
        self.shadows = ShadowComparisons(services.quality_monitor, self.metrics)
        cards = (SMALL, LARGE, JUDGE)
        self.echoes = {card.name: EchoModel(card, gate) for card in cards}
        names = ModelAliases(cards, {"default": CascadePolicy(models=("echo/small", "echo/large"))})
        self.watched = {"default": MonitoredPolicy("v1", "echo/large", QualityGuarantee(0.9))}
        shade = ShadowTraffic(
            settings=wanted,
            policies=self.watched,
            judge=JUDGE,
            compare=compare,
            comparisons=self.shadows,
            draw=lambda: draw,
            handler=lambda request, send: self.answer(request, send),
        )
        routed = Router(
            plan=names,
            connect=lambda card: self.echoes[card.name],
            judge=JUDGES,
            health_check=always_healthy,
            data_policy=DataPolicy(),
            affinity=SessionAffinity(SessionStore(), 3_600, 0),
            observer=shade.observer,
            distrust_check=services.quality_monitor.distrust_check(self.watched),
        )
        self.answer: Handler = RecordingMiddleware(
            routed, write=services.records.enqueue, metrics=self.metrics, record_ids=services.records.ids
        )

    async def ask(
        self,
        what: ChatRequest,
        options: RequestOptions = RequestOptions(),
        principal: Principal = Principal(),  # frozen
    ) -> Client:  # frozen
        client = Client()
        await self.answer(asking(what, options, principal), client.send)
        return client

    async def settle(self) -> dict[str, int]:
        """What came of the draws, when all comparisons are over."""
        while self.shadows.tasks:
            await asyncio.wait(set(self.shadows.tasks))
        return dict(self.metrics.shadow_results)

    def rows(self) -> list[dict[str, Any]]:
        with self.services.storage.database.read() as connection:
            found = connection.exec_driver_sql("SELECT * FROM shadows ORDER BY number")
            return [dict(row._mapping) for row in found]

    async def endpoints(self) -> list[tuple[str, str]]:
        """(door, model) of all records, oldest first."""
        return [
            (each.door, each.model) for each in reversed((await self.services.records.page(RecordFilter(), 100)).rows)
        ]


@asynccontextmanager
async def open_onion(home: Path, settings: ShadowSettings, **more: Any) -> AsyncIterator[Onion]:
    with open_services(home) as services:
        onion = Onion(services, settings, **more)
        yield onion
        await onion.shadows.stop()


ALL = ShadowSettings(sample_rate=1.0)


async def test_a_small_answer_is_compared_with_the_large_models_own(tmp_path: Path) -> None:
    async with open_onion(tmp_path, ALL) as onion:
        client = await onion.ask(chat(DIFFERS))
        assert client.text == "worse words"
        assert await onion.settle() == {"judged": 1}
        (row,) = onion.rows()
        told = {name: row[name] for name in ("given", "small", "large", "worse", "judge", "share", "error", "policy")}
        assert told == {
            "given": "echo/small",
            "small": "echo/small",
            "large": "echo/large",
            "worse": 1.0,
            "judge": "echo/judge",
            "share": 1.0,
            "error": "",
            "policy": "default",
        }
        assert row["trust"] > 0.5 and row["cost"] > 0
        assert await onion.endpoints() == [("chat", "echo/small"), ("shadow", "echo/large"), ("judge", "echo/judge")]
        traces = {each.trace for each in (await onion.services.records.page(RecordFilter())).rows}
        assert traces == {row["trace"]}


async def test_an_answer_that_was_not_trusted_costs_the_judge_alone(tmp_path: Path) -> None:
    async with open_onion(tmp_path, ALL) as onion:
        assert (await onion.ask(chat(DOUBTED))).chosen.model == "echo/large"
        await onion.settle()
        (row,) = onion.rows()
        assert (row["given"], row["small"], row["worse"]) == ("echo/large", "echo/small", 1.0)
        assert row["trust"] < 0.5
        assert [endpoint for endpoint, _ in await onion.endpoints()] == ["chat", "judge"]


async def test_where_the_small_one_failed_it_is_asked_again_for_the_pair(tmp_path: Path) -> None:
    async with open_onion(tmp_path, ALL) as onion:
        await onion.ask(chat("[[echo/small: fail]] one two"))
        await onion.settle()
        (row,) = onion.rows()
        assert (row["given"], row["small"], row["worse"], row["trust"]) == ("echo/large", "echo/small", None, None)
        assert row["error"] == "upstream_unreachable"


async def test_equal_answers_need_no_judge(tmp_path: Path) -> None:
    async with open_onion(tmp_path, ALL) as onion:
        await onion.ask(chat("one two three"))
        await onion.settle()
        (row,) = onion.rows()
        assert (row["worse"], row["judge"]) == (0.0, "")
        assert [endpoint for endpoint, _ in await onion.endpoints()] == ["chat", "shadow"]


@pytest.mark.parametrize(
    ("words", "error", "counted"),
    [
        ("[[echo/large: fail]] [[echo/small: say worse]] one", "upstream_unreachable", {"unjudged": 1}),
        ("[[echo/small: say undecided]] one", "undecided", {"unjudged": 1}),
        ("[[echo/small: say swapped worse]] one", "contradicted", {"unjudged": 1}),
    ],
)
async def test_what_cannot_be_judged_is_counted_and_tells_nothing(
    tmp_path: Path,
    words: str,
    error: str,
    counted: dict[str, int],
) -> None:
    async with open_onion(tmp_path, ALL) as onion:
        await onion.ask(chat(words))
        assert await onion.settle() == counted
        (row,) = onion.rows()
        assert (row["worse"], row["error"]) == (None, error)
        (known,) = await onion.services.quality_monitor.policy_quality("local", onion.watched, 0.95)
        assert (known.estimate.sample_count, known.estimate.undecided, known.estimate.mean_loss) == (1, 1, None)


@pytest.mark.parametrize(("sample_rate", "draw"), [(0.0, 0.0), (0.5, 0.5)])
async def test_nothing_is_drawn_without_a_share_and_what_is_not_drawn_makes_no_request(
    tmp_path: Path, sample_rate: float, draw: float
) -> None:
    async with open_onion(tmp_path, ShadowSettings(sample_rate=sample_rate), draw=draw) as onion:
        await onion.ask(chat(DIFFERS))
        assert await onion.settle() == {}
        assert (onion.rows(), await onion.endpoints()) == ([], [("chat", "echo/small")])


async def test_requests_that_words_alone_do_not_compare_are_left_out(tmp_path: Path) -> None:
    image = [{"type": "image_url", "image_url": {"url": "data:,"}}]

    async with open_onion(tmp_path, ALL) as onion:
        await onion.ask(chat("one", n=2))
        await onion.ask(chat("one"), RequestOptions(min_quality=0.5))
        await onion.ask(chat(model="small"))
        onion.watched["default"] = MonitoredPolicy("v1", "echo/elsewhere", QualityGuarantee(0.9))
        await onion.ask(chat("one"))
        with pytest.raises(SizewiseError):
            await onion.ask(chat(messages=[{"role": "user", "content": image}]))
        with pytest.raises(SizewiseError):
            await onion.answer(asking(embed("one")), Client().send)
        assert await onion.settle() == {"unfit": 3}


async def test_the_client_has_its_answer_before_anybody_else_is_asked(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async with open_onion(tmp_path, ALL, gate=gate) as onion:
        client = await onion.ask(chat("[[echo/large: wait]] [[echo/small: say worse]] one"))
        assert client.text == "worse" and onion.echoes["echo/large"].request_count == 0
        await until(lambda: onion.echoes["echo/large"].request_count == 1)
        assert len(onion.shadows.tasks) == 1
        await onion.ask(chat(DIFFERS))
        assert dict(onion.metrics.shadow_results) == {"busy": 1}
        gate.set()
        assert await onion.settle() == {"busy": 1, "judged": 1}


async def test_it_waits_while_a_client_is_being_answered(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async with open_onion(tmp_path, ALL, gate=gate) as onion:
        other = asyncio.create_task(onion.ask(chat("[[wait]] one", model="small")))
        await until(lambda: onion.echoes["echo/small"].request_count == 1)
        await onion.ask(chat(DIFFERS))
        await asyncio.sleep(0.05)
        assert onion.echoes["echo/large"].request_count == 0
        gate.set()
        await other
        assert await onion.settle() == {"judged": 1}


async def test_it_stops_for_a_client_and_begins_again(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async with open_onion(tmp_path, ALL, gate=gate) as onion:
        large = onion.echoes["echo/large"]
        await onion.ask(chat("[[echo/large: wait]] [[echo/small: say worse]] one"))
        await until(lambda: large.request_count == 1)  # read at once
        other = asyncio.create_task(onion.ask(chat("[[wait]] one", model="small")))
        await until(lambda: large.cancel_count == 1)  # read at once
        gate.set()
        await other
        assert await onion.settle() == {"judged": 1}
        assert large.request_count == 2
        assert ("shadow", "") in await onion.endpoints()  # what was stopped is booked too


async def test_where_clients_never_leave_a_moment_nobody_can_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow_traffic, "MAX_LOCAL_ATTEMPTS", 2)

    async with open_onion(tmp_path, ALL) as onion:
        large = onion.echoes["echo/large"]
        await onion.ask(chat("[[echo/large: hang]] [[echo/small: say worse]] one"))

        def requested(count: int) -> bool:
            return large.request_count == count

        def cancelled(count: int) -> bool:
            return large.cancel_count == count

        for stopped in (1, 2):
            await until(partial(requested, stopped))  # read at once
            await onion.ask(chat("[[slow 0.1]] one", model="small"))
            await until(partial(cancelled, stopped))  # read at once
        assert await onion.settle() == {"unjudged": 1}
        assert onion.rows()[0]["error"] == "busy"


async def test_a_client_that_left_is_not_compared_and_one_that_leaves_later_changes_nothing(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async with open_onion(tmp_path, ALL, gate=gate) as onion:
        task = asyncio.create_task(onion.ask(chat("[[wait]] one")))
        await until(lambda: onion.echoes["echo/small"].request_count == 1)
        task.cancel()
        await asyncio.wait([task])
        assert await onion.settle() == {}
        task = asyncio.create_task(onion.ask(chat("[[echo/large: wait]] [[echo/small: say worse]] one")))
        await task
        task.cancel()
        gate.set()
        assert await onion.settle() == {"judged": 1}


async def test_the_end_of_the_server_cancels_what_is_under_way_and_books_it(tmp_path: Path) -> None:
    async with open_onion(tmp_path, ALL) as onion:
        await onion.ask(chat("[[echo/large: hang]] [[echo/small: say worse]] one"))
        await until(lambda: onion.echoes["echo/large"].request_count == 1)
        await onion.shadows.stop()
        assert onion.echoes["echo/large"].cancel_count == 1
        stopped, _ = (await onion.services.records.page(RecordFilter())).rows
        assert (stopped.door, stopped.status) == ("shadow", 499)
        assert onion.rows() == []


async def test_the_days_money_ends_it(tmp_path: Path) -> None:
    async with open_onion(tmp_path, ShadowSettings(sample_rate=1.0, budget_usd_per_day="0.000003")) as onion:
        for _ in range(8):
            await onion.ask(chat("[[echo/small: say other words]] " + "one " * 60, max_tokens=60))
            await onion.settle()
        rows = onion.rows()
        errors = [row["error"] for row in rows]
        assert errors[0] == "" and errors[-1] == "over_budget" and errors.count("over_budget") == 1
        assert 0 < sum(row["cost"] for row in rows) <= 3_000_000
        assert onion.metrics.shadow_results["over_budget"] == 8 - len(rows) > 0
        again = ShadowComparisons(onion.services.quality_monitor, onion.metrics)
        assert again.budget.remaining(3_000_000) == 3_000_000 - sum(row["cost"] for row in rows)


async def test_a_session_and_an_idempotency_key_stay_with_the_clients_own_request(tmp_path: Path) -> None:
    seen: list[Request] = []

    async with open_onion(tmp_path, ALL) as onion:
        echo = onion.echoes["echo/large"]

        async def noting(request: Request, send: Send) -> Reply:
            seen.append(request)
            return await echo(request, send)

        onion.echoes["echo/large"] = noting  # type: ignore[assignment]  # an Handler is enough
        options = RequestOptions(
            session="s",
            idempotency_key="k",
            data_class="public",
            online="deny",
            max_latency_ms=60_000,
        )
        body: dict[str, Any] = {"temperature": 0.3, "prompt_cache_key": "p", "store": True, "seed": 7}
        await onion.ask(chat(DIFFERS, **body), options, Principal(key_id="k1", project="p"))
        await onion.settle()
        (asked,) = seen
        assert (asked.endpoint, asked.principal.key_id, asked.principal.project) == ("shadow", "k1", "p")
        assert (asked.options.data_class, asked.options.online) == ("internal", "deny")
        assert (asked.options.idempotency_key, asked.options.session, asked.options.cache) == (None, "", "no-store")
        assert isinstance(asked.payload, ChatRequest) and not asked.payload.stream
        assert {"temperature", "seed"} <= set(asked.payload.fields) and "store" not in asked.payload.fields
        client = await onion.ask(chat(DIFFERS, **body), options)
        assert client.chosen.model == "echo/small"


async def test_a_promise_that_breaks_is_served_by_the_large_model_until_it_is_trusted_again(tmp_path: Path) -> None:
    async with open_onion(tmp_path, ALL) as onion:
        for _ in range(50):
            client = await onion.ask(chat(DIFFERS))
            await onion.settle()
            if client.chosen.model == "echo/large":
                break
        assert 2 < len(onion.rows()) < 20 and client.text == "one two three"
        assert client.chosen.reason == (
            "echo/large alone: the policy 'default' missed its quality target of 0.9 on sampled answers"
        )
        assert onion.metrics.drift_alarms == {"default": 1}
        assert onion.metrics.shadow_results["fallen"] == 1
        assert b'sizewise_drift_alarms_total{policy="default"} 1.0' in render_metrics(onion.metrics)
        assert await onion.services.quality_monitor.restore_policy("local", "default", "v1")
        assert (await onion.ask(chat(DIFFERS))).chosen.model == "echo/small"


async def test_no_word_of_it_is_kept(tmp_path: Path) -> None:
    async with open_onion(tmp_path, ALL) as onion:
        await onion.ask(chat(f"[[echo/small: say {CANARY} worse]] {CANARY} two"))
        assert await onion.settle() == {"judged": 1}
        await onion.services.records.flush()
    assert CANARY.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    with sqlite3.connect(tmp_path / "sizewise.db") as db:
        assert db.execute("SELECT count(*) FROM shadows").fetchone() == (1,)
    db.close()


def test_the_judge_is_the_one_that_was_named_or_the_large_model() -> None:
    cards = (SMALL, LARGE, JUDGE)
    assert judge_card("echo/judge", cards, LARGE) is JUDGE
    assert judge_card("", cards, LARGE) is LARGE
    assert judge_card("", (), None) is None
    with pytest.raises(ConfigError, match="jugde") as refused:
        judge_card("echo/jugde", cards, LARGE)
    assert "echo/judge" in refused.value.hint
