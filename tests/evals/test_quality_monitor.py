"""What is kept of sampled requests: estimates, alarms that survive a restart, feedback by its rules; never a word."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import func, select

from sizewise.app.services import Services, open_services
from sizewise.errors import BadRequest, PathNotFound
from sizewise.evals.quality_monitor import MonitoredPolicy, QualityMonitor, monitored_policies
from sizewise.evals.scores.score_draft import ScoreDraft
from sizewise.evals.tables import (
    FEEDBACK,
    SCHEMA,
    SHADOW_SAMPLES,
    EvalsRetention,
    Feedback,
    ShadowSample,
    insert_sample,
    replace_feedback,
)
from sizewise.handler import ModelSelected, Request, Send
from sizewise.messages import ChatRequest, Choice, Message, Reply, Usage
from sizewise.model_card import ModelCard
from sizewise.principal import Principal
from sizewise.routing.guarantees.bounds import QualityGuarantee
from sizewise.routing.guarantees.sampled_certificate import CertifiedThreshold, SampledCertificate
from sizewise.routing.model_aliases import RoutePlan
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.policy import Policy
from sizewise.storage.database import open_database, sqlite_url
from sizewise.telemetry.metrics import Metrics
from sizewise.telemetry.recorder import RecordingMiddleware
from tests.routing.router_harness import LARGE, SMALL

NOW = time.time_ns() // 1_000_000 + 1_000
SAMPLE = ShadowSample("local", "default", "mine", "v1", "m1", "ab" * 16, NOW, "s", "s", "l", 0.7, 0.0, "l", 0.1, 5)
PROMISE = QualityGuarantee(0.9)
MINE = {"mine": MonitoredPolicy("v1", "l", PROMISE), "other": MonitoredPolicy("v9", "l")}


async def lost(
    watch: QualityMonitor,
    *worse: float | None,
    given: str = "s",
    promise: QualityGuarantee | None = PROMISE,
) -> int:
    """How often the alarm rang."""
    rang = 0
    for each in worse:
        sample = replace(SAMPLE, worse=each, given=given, error="" if each is not None else "over_budget")
        rang += await watch.record_sample(sample, promise, 0.95)
    return rang


async def test_what_was_never_sampled_is_not_measured(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        mine, other = await services.quality_monitor.policy_quality("local", MINE, 0.95)
    assert (mine.policy, mine.guaranteed_quality, mine.estimate.sample_count, mine.estimate.mean_loss) == (
        "mine",
        0.9,
        0,
        None,
    )
    assert (other.policy, other.guaranteed_quality, other.since, other.alarm_at) == ("other", None, None, None)


async def test_an_answer_of_the_large_model_loses_nothing_and_an_unjudged_one_is_as_the_others(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        await lost(services.quality_monitor, 1.0, 0.0, 0.0, None)
        await lost(services.quality_monitor, 1.0, given="l")
        mine, _ = await services.quality_monitor.policy_quality("local", MINE, 0.95)
        its = mine.estimate
        assert (its.sample_count, its.undecided) == (5, 1)
        assert its.mean_loss == pytest.approx(1 / 3 * 4 / 5)
        assert its.low is not None and its.high is not None and its.low < 0.25 < its.high
        assert (
            services.quality_monitor.comparison_cost(NOW) == 25
            and services.quality_monitor.comparison_cost(NOW + 1) == 0
        )
        (elsewhere, _) = await services.quality_monitor.policy_quality("elsewhere", MINE, 0.95)
        assert elsewhere.estimate.sample_count == 0


async def test_an_alarm_rings_once_outlives_a_restart_and_ends_with_a_new_version_or_trust(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        assert await lost(services.quality_monitor, *[1.0] * 10) == 1
        assert services.quality_monitor.distrust_reason("local", "mine", "v1")
    with open_services(tmp_path) as services:
        watch = services.quality_monitor
        why = watch.distrust_reason("local", "mine", "v1")
        assert why == "the policy 'mine' missed its quality target of 0.9 on sampled answers"
        assert watch.impaired(MINE) == [f"{why}: only its large model answers"]
        assert watch.distrust_reason("local", "mine", "v2") == watch.distrust_reason("elsewhere", "mine", "v1") == ""
        assert watch.impaired({"mine": MonitoredPolicy("v2", "l")}) == watch.impaired({}) == []
        mine, _ = await watch.policy_quality("local", MINE, 0.95)
        assert mine.alarm_at is not None
        assert await watch.restore_policy("local", "mine", "v1")
        assert not await watch.restore_policy("local", "mine", "v1")
        mine, _ = await watch.policy_quality("local", MINE, 0.95)
        assert (watch.distrust_reason("local", "mine", "v1"), mine.alarm_at) == ("", None)


async def test_a_request_from_before_one_trusted_again_does_not_count(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        await services.quality_monitor.restore_policy("local", "mine", "v1")
        old = replace(SAMPLE, worse=1.0, at=1_000)
        assert not any([await services.quality_monitor.record_sample(old, PROMISE, 0.95) for _ in range(20)])
        mine, _ = await services.quality_monitor.policy_quality("local", MINE, 0.95)
        assert mine.estimate.sample_count == 0


async def test_who_promised_nothing_has_an_estimate_and_no_alarm(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        assert await lost(services.quality_monitor, *[1.0] * 50, promise=None) == 0
        mine, _ = await services.quality_monitor.policy_quality("local", MINE, 0.95)
        assert (mine.estimate.sample_count, mine.estimate.mean_loss, mine.alarm_at) == (50, 1.0, None)


def test_a_version_changes_with_options_models_and_promise() -> None:
    both = ("echo/large", "echo/small")
    proof = SampledCertificate(*both, 0.95, (CertifiedThreshold(0.9, 0.6, 0.97, 0.5),), "a/judge", 300, 0, "2026-11-25")
    promising, again = (
        CascadePolicy(both, target=PROMISE, certificate=replace(proof, pair_count=pairs)) for pairs in (300, 301)
    )

    def now(policy: Policy, *cards: ModelCard) -> MonitoredPolicy:
        return monitored_policies({"p": RoutePlan("auto:p", policy, "p", cards)})["p"]

    policies = (CascadePolicy(), CascadePolicy(threshold=0.6), promising)
    versions = {now(each, *cards).version for each in policies for cards in ((SMALL, LARGE), (LARGE, SMALL), (LARGE,))}
    assert len(versions) == 9
    assert now(CascadePolicy(), SMALL, LARGE) == now(CascadePolicy(), SMALL, LARGE)
    assert now(CascadePolicy(), LARGE, SMALL).reference_model == "echo/large"
    assert now(promising, SMALL, LARGE).version != now(again, SMALL, LARGE).version
    its = now(promising, LARGE, SMALL)
    assert (its.guarantee, its.reference_model) == (
        PROMISE,
        "echo/small",
    )  # the last is the standard, whatever its size


async def answered(services: Services, trace: str, model: str, key: str, endpoint: str = "chat") -> None:
    async def answer(request: Request, send: Send) -> Reply:
        await send(ModelSelected(model, "why", 1, "mine"))
        return Reply((Choice(0, "canary"),), Usage(1, 1))

    async def quiet(event: object) -> None: ...

    asked = Request(
        ChatRequest("auto", [Message("user", "canary")], {}),
        Principal(key_id=key),
        trace,
        time.perf_counter(),
        endpoint=endpoint,
    )
    await RecordingMiddleware(
        answer,
        write=services.records.enqueue,
        metrics=Metrics(services.records.queue_counts),
        record_ids=services.records.ids,
    )(
        asked,
        quiet,
    )


async def test_feedback_is_noted_by_model_and_the_last_word_counts(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        mine = Principal(key_id="k1")
        await answered(services, "aa" * 16, "small", "k1")
        await answered(services, "bb" * 16, "small", "k1")
        await answered(services, "bb" * 16, "large", "k1", "shadow")
        for trace, score, kind in (
            ("aa" * 16, 0.0, "user"),
            ("aa", 1.0, "user"),
            ("bb", 0.5, "user"),
            ("bb", 0, "test"),
        ):
            _, (noted,) = await services.scores.add(mine, ScoreDraft(trace=trace, value=score, name=kind))
            assert (noted.model, noted.trace[:2], noted.key) == ("small", trace[:2], "k1")
        known, _ = await services.quality_monitor.policy_quality("local", MINE, 0.95)
        said = [(each.model, each.kind, each.count, each.mean) for each in known.feedback]
        assert said == [("small", "test", 1, 0.0), ("small", "user", 2, 0.75)]
        assert known.estimate.sample_count == 0


async def test_feedback_that_cannot_be_is_refused_with_a_hint(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        mine, other, manager = (
            Principal(key_id="k1"),
            Principal(key_id="k2"),
            Principal(key_id="k3", permissions=frozenset({"manage_policies"})),
        )
        await answered(services, "aa" * 16, "small", "k1")
        await answered(services, "ab" * 16, "small", "k1")
        for score in (-0.1, 1.1, float("nan")):
            with pytest.raises(BadRequest, match="is not a score"):
                await services.scores.add(mine, ScoreDraft(trace="aa", value=score, name="user"))
        with pytest.raises(BadRequest, match="is not the name of a score"):
            await services.scores.add(mine, ScoreDraft(trace="aa", value=1, name="it was rubbish!"))
        for trace, why in (("", "needs one target"), ("not a trace", "is not a trace id")):
            with pytest.raises(BadRequest, match=why):
                await services.scores.add(mine, ScoreDraft(trace=trace, value=1))
        with pytest.raises(BadRequest, match="several traces"):
            await services.scores.add(mine, ScoreDraft(trace="a", value=1, name="user"))
        for principal, trace in ((mine, "ff"), (other, "aa")):
            with pytest.raises(PathNotFound) as refused:
                await services.scores.add(principal, ScoreDraft(trace=trace, value=1, name="user"))
            assert "sizewise records" in refused.value.hint
        assert await services.scores.add(manager, ScoreDraft(trace="aa", value=1, name="user"))


def test_pairs_and_feedback_go_with_time_and_number(tmp_path: Path) -> None:
    database = open_database(sqlite_url(str(tmp_path / "x.db")), [SCHEMA])
    day, now = 86_400_000, time.time_ns() // 1_000_000
    with database.write() as connection:
        for age in (40, 31, 29, 2, 1):
            insert_sample(connection, replace(SAMPLE, at=now - age * day), lambda its: its)
            verdict = Feedback("local", "default", "mine", "s", f"{age}", now - age * day, "k", "user", 1.0)
            replace_feedback(connection, [verdict])
    left = []
    for chore in (EvalsRetention(30, 100, batch_size=1), EvalsRetention(30, 2, batch_size=1)):
        with database.write() as connection:
            while chore(connection):
                pass
            left += [connection.scalar(select(func.count()).select_from(each)) for each in (SHADOW_SAMPLES, FEEDBACK)]
    database.close()
    assert left == [3, 3, 2, 2]
