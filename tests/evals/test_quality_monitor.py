"""What is kept of sampled requests: estimates, alarms that survive a restart, feedback by its rules; never a word."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace
from sqlalchemy import func, select

from sizewise.app.services import Keeper
from sizewise.errors import BadRequest, UnknownPath
from sizewise.evals.quality_monitor import Watch, Watched, watched
from sizewise.evals.tables import FEEDBACK, SCHEMA, SHADOWS, Forgetting, Sample, Verdict, judge, note
from sizewise.handler import Ask, Chosen, Send
from sizewise.messages import Chat, Choice, Message, Reply, Usage
from sizewise.model_card import Card
from sizewise.principal import Caller
from sizewise.routing.guarantees.bounds import Promise
from sizewise.routing.guarantees.sampled_certificate import Sampled, Trusted
from sizewise.routing.model_aliases import Plan
from sizewise.routing.policies.cascade import Cascade
from sizewise.routing.policy import Policy
from sizewise.storage.database import connect, file
from sizewise.telemetry.metrics import Metrics
from sizewise.telemetry.recorder import Recorded
from tests.routing.router_harness import LARGE, SMALL

T = TypeVar("T")
NOW = time.time_ns() // 1_000_000 + 1_000
SAMPLE = Sample("local", "default", "mine", "v1", "m1", "ab" * 16, NOW, "s", "s", "l", 0.7, 0.0, "l", 0.1, 5)
PROMISE = Promise(0.9)
MINE = {"mine": Watched("v1", "l", PROMISE), "other": Watched("v9", "l")}


def kept(home: Path, scene: Callable[[Keeper], Awaitable[T]]) -> T:
    async def played() -> T:
        with Keeper(home) as keeper:
            return await scene(keeper)

    return asyncio.run(played())


async def lost(watch: Watch, *worse: float | None, given: str = "s", promise: Promise | None = PROMISE) -> int:
    """How often the alarm rang."""
    rang = 0
    for each in worse:
        sample = replace(SAMPLE, worse=each, given=given, error="" if each is not None else "over_budget")
        rang += await watch.sampled(sample, promise, 0.95)
    return rang


def test_what_was_never_sampled_is_not_measured(tmp_path: Path) -> None:
    mine, other = kept(tmp_path, lambda keeper: keeper.watch.quality("local", MINE, 0.95))
    assert (mine.policy, mine.promised, mine.estimate.samples, mine.estimate.lost) == ("mine", 0.9, 0, None)
    assert (other.policy, other.promised, other.since, other.alarm) == ("other", None, None, None)


def test_an_answer_of_the_large_model_loses_nothing_and_an_unjudged_one_is_as_the_others(tmp_path: Path) -> None:
    async def scene(keeper: Keeper) -> None:
        await lost(keeper.watch, 1.0, 0.0, 0.0, None)
        await lost(keeper.watch, 1.0, given="l")
        mine, _ = await keeper.watch.quality("local", MINE, 0.95)
        its = mine.estimate
        assert (its.samples, its.unjudged) == (5, 1)
        assert its.lost == pytest.approx(1 / 3 * 4 / 5)
        assert its.low is not None and its.high is not None and its.low < 0.25 < its.high
        assert keeper.watch.spent(NOW) == 25 and keeper.watch.spent(NOW + 1) == 0
        (elsewhere, _) = await keeper.watch.quality("elsewhere", MINE, 0.95)
        assert elsewhere.estimate.samples == 0

    kept(tmp_path, scene)


def test_an_alarm_rings_once_outlives_a_restart_and_ends_with_a_new_version_or_trust(tmp_path: Path) -> None:
    async def rings(keeper: Keeper) -> None:
        assert await lost(keeper.watch, *[1.0] * 10) == 1
        assert keeper.watch.fallen("local", "mine", "v1")

    async def lasts(keeper: Keeper) -> None:
        watch = keeper.watch
        why = watch.fallen("local", "mine", "v1")
        assert why == "sampled answers of policy 'mine' did not keep its promise of 0.9"
        assert watch.limps(MINE) == [f"{why}: its large model answers alone"]
        assert watch.fallen("local", "mine", "v2") == watch.fallen("elsewhere", "mine", "v1") == ""
        assert watch.limps({"mine": Watched("v2", "l")}) == watch.limps({}) == []
        mine, _ = await watch.quality("local", MINE, 0.95)
        assert mine.alarm is not None
        assert await watch.trust_again("local", "mine", "v1")
        assert not await watch.trust_again("local", "mine", "v1")
        mine, _ = await watch.quality("local", MINE, 0.95)
        assert (watch.fallen("local", "mine", "v1"), mine.alarm) == ("", None)

    kept(tmp_path, rings)
    kept(tmp_path, lasts)


def test_a_request_from_before_one_trusted_again_does_not_count(tmp_path: Path) -> None:
    async def scene(keeper: Keeper) -> None:
        await keeper.watch.trust_again("local", "mine", "v1")
        old = replace(SAMPLE, worse=1.0, at=1_000)
        assert not any([await keeper.watch.sampled(old, PROMISE, 0.95) for _ in range(20)])
        mine, _ = await keeper.watch.quality("local", MINE, 0.95)
        assert mine.estimate.samples == 0

    kept(tmp_path, scene)


def test_who_promised_nothing_has_an_estimate_and_no_alarm(tmp_path: Path) -> None:
    async def scene(keeper: Keeper) -> None:
        assert await lost(keeper.watch, *[1.0] * 50, promise=None) == 0
        mine, _ = await keeper.watch.quality("local", MINE, 0.95)
        assert (mine.estimate.samples, mine.estimate.lost, mine.alarm) == (50, 1.0, None)

    kept(tmp_path, scene)


def test_a_version_changes_with_options_models_and_promise() -> None:
    both = ("echo/large", "echo/small")
    proof = Sampled(*both, 0.95, (Trusted(0.9, 0.6, 0.97, 0.5),), "a/judge", 300, 0, "2026-11-25")
    promising, again = (Cascade(both, target=PROMISE, certificate=replace(proof, pairs=pairs)) for pairs in (300, 301))

    def now(policy: Policy, *cards: Card) -> Watched:
        return watched({"p": Plan("auto:p", policy, "p", cards)})["p"]

    policies = (Cascade(), Cascade(threshold=0.6), promising)
    versions = {now(each, *cards).version for each in policies for cards in ((SMALL, LARGE), (LARGE, SMALL), (LARGE,))}
    assert len(versions) == 9
    assert now(Cascade(), SMALL, LARGE) == now(Cascade(), SMALL, LARGE)
    assert now(Cascade(), LARGE, SMALL).large == "echo/large"
    assert now(promising, SMALL, LARGE).version != now(again, SMALL, LARGE).version
    its = now(promising, LARGE, SMALL)
    assert (its.promise, its.large) == (PROMISE, "echo/small")  # the last is the standard, whatever its size


async def answered(keeper: Keeper, trace: str, model: str, key: str, door: str = "chat") -> None:
    async def answer(ask: Ask, send: Send) -> Reply:
        await send(Chosen(model, "why", 1, "mine"))
        return Reply((Choice(0, "canary"),), Usage(1, 1))

    async def quiet(event: object) -> None: ...

    asked = Ask(Chat("auto", [Message("user", "canary")], {}), Caller(key=key), trace, time.perf_counter(), door=door)
    await Recorded(answer, keeper.put, Metrics(keeper.waiting), keeper.numbers)(asked, quiet)


def test_feedback_is_noted_by_model_and_the_last_word_counts(tmp_path: Path) -> None:
    async def scene(keeper: Keeper) -> None:
        mine = Caller(key="k1")
        await answered(keeper, "aa" * 16, "small", "k1")
        await answered(keeper, "bb" * 16, "small", "k1")
        await answered(keeper, "bb" * 16, "large", "k1", "shadow")
        for trace, score, kind in (
            ("aa" * 16, 0.0, "user"),
            ("aa", 1.0, "user"),
            ("bb", 0.5, "user"),
            ("bb", 0, "test"),
        ):
            (noted,) = await keeper.watch.feedback(mine, trace, score, kind)
            assert (noted.model, noted.trace[:2], noted.key) == ("small", trace[:2], "k1")
        known, _ = await keeper.watch.quality("local", MINE, 0.95)
        said = [(each.model, each.kind, each.count, each.mean) for each in known.feedback]
        assert said == [("small", "test", 1, 0.0), ("small", "user", 2, 0.75)]
        assert known.estimate.samples == 0

    kept(tmp_path, scene)


def test_feedback_that_cannot_be_is_refused_with_a_hint(tmp_path: Path) -> None:
    async def scene(keeper: Keeper) -> None:
        mine, other, manager = Caller(key="k1"), Caller(key="k2"), Caller(key="k3", may=frozenset({"manage_policies"}))
        await answered(keeper, "aa" * 16, "small", "k1")
        await answered(keeper, "ab" * 16, "small", "k1")
        for score in (-0.1, 1.1, float("nan")):
            with pytest.raises(BadRequest, match="no score"):
                await keeper.watch.feedback(mine, "aa", score, "user")
        with pytest.raises(BadRequest, match="no kind"):
            await keeper.watch.feedback(mine, "aa", 1, "it was rubbish!")
        with pytest.raises(BadRequest, match="several traces"):
            await keeper.watch.feedback(mine, "a", 1, "user")
        for caller, trace in ((mine, "ff"), (mine, ""), (other, "aa")):
            with pytest.raises(UnknownPath) as refused:
                await keeper.watch.feedback(caller, trace, 1, "user")
            assert "sizewise records" in refused.value.hint
        assert await keeper.watch.feedback(manager, "aa", 1, "user")

    kept(tmp_path, scene)


def test_pairs_and_feedback_go_with_time_and_number(tmp_path: Path) -> None:
    database = connect(file(str(tmp_path / "x.db")), [SCHEMA])
    day, now = 86_400_000, time.time_ns() // 1_000_000
    with database.write() as connection:
        for age in (40, 31, 29, 2, 1):
            note(connection, replace(SAMPLE, at=now - age * day), lambda its: its)
            verdict = Verdict("local", "default", "mine", "s", f"{age}", now - age * day, "k", "user", 1.0)
            judge(connection, [verdict])
    left = []
    for chore in (Forgetting(30, 100, step=1), Forgetting(30, 2, step=1)):
        with database.write() as connection:
            while chore(connection):
                pass
            left += [connection.scalar(select(func.count()).select_from(each)) for each in (SHADOWS, FEEDBACK)]
    database.close()
    assert left == [3, 3, 2, 2]
