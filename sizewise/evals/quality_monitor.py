"""Quality monitor: loss estimates, alarms and feedback for each policy. Makes no comparisons itself."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from sizewise.evals import tables
from sizewise.evals.scores.tables import ScoreRow, put_score, score_id
from sizewise.evals.tables import Feedback, FeedbackSummary, GuaranteeStatus, SampleSummary, ShadowSample
from sizewise.routing.guarantees.bounds import QualityGuarantee
from sizewise.routing.guarantees.drift import INITIAL_DRIFT, LossEstimate, estimate_loss, is_alarm, update_drift
from sizewise.routing.model_aliases import RoutePlan
from sizewise.routing.strongest_fallback import DistrustCheck, reference_card
from sizewise.storage.database import (
    AsyncTransactionRunner,
    PublishEvent,
    TransactionRunner,
    UnitOfWork,
    no_event,
    with_event,
)

log = logging.getLogger("sizewise.evals")

TRUST_OPTIONS = ("kind", "votes", "verifier")
"""Policy options that change the meaning of its trust scores."""


class MonitoredPolicy(Struct, frozen=True):
    """The current state of a policy. `version` changes with its behavior, `trust_version` with the meaning of its trust
    scores. `reference_model` is the large model; `guarantee` is None without a quality target.
    """

    version: str
    reference_model: str
    guarantee: QualityGuarantee | None = None
    trust_version: str = ""


def monitored_policies(plans: Mapping[str, RoutePlan]) -> dict[str, MonitoredPolicy]:
    """By policy name. `plans`: of policies that choose among models. A new calibration, other options or other models
    make a new version."""
    found: dict[str, MonitoredPolicy] = {}
    for name, plan in plans.items():
        policy, models = plan.policy, [card.name for card in plan.cards]
        said = repr((type(policy).__module__, type(policy).__qualname__, policy, models))
        promise = getattr(policy, "target", None)
        resources = repr((models, *(getattr(policy, option, "") for option in TRUST_OPTIONS)))
        kept = promise if isinstance(promise, QualityGuarantee) else None
        found[name] = MonitoredPolicy(_short_hash(said), reference_card(plan).name, kept, _short_hash(resources))
    return found


def _short_hash(said: str) -> str:
    return hashlib.sha256(said.encode()).hexdigest()[:16]


class PolicyQuality(Struct, frozen=True):
    """The measured quality of one policy's answers against its large model's.

    `estimate` is the loss over the requests sampled since `since` (unix ms). `guaranteed_quality` (0..1) is None
    without a quality target; `alarm_at` is when the target was found violated (unix ms).
    """

    policy: str
    estimate: LossEstimate = LossEstimate()
    since: int | None = None
    guaranteed_quality: float | None = None
    alarm_at: int | None = None
    feedback: tuple[FeedbackSummary, ...] = ()


class QualityMonitor:
    """One per server process; it outlives applications. Methods that use the database raise StorageError."""

    def __init__(
        self,
        read: TransactionRunner,
        write: AsyncTransactionRunner,
        publish_event: PublishEvent = no_event,
    ) -> None:
        """`publish_event` receives each missed target."""
        self._read = read
        self._write = write
        self._publish_event = publish_event
        self._alarms = {
            _status_key(each): each for each in read(tables.guarantee_statuses) if each.alarm_at is not None
        }

    def distrust_reason(self, tenant: str, policy: str, version: str) -> str:
        """Why the policy is not trusted; empty if it is trusted. Called for every request, so it reads memory only."""
        its = self._alarms.get((tenant, policy, version)) if self._alarms else None
        return (
            ""
            if its is None
            else f"the policy {policy!r} missed its quality target of {its.guaranteed_quality:g} on sampled answers"
        )

    def distrust_check(self, policies: Mapping[str, MonitoredPolicy]) -> DistrustCheck | None:
        """`distrust_reason` for the current version of each policy; None if no policy has a guarantee."""
        versions = {name: its.version for name, its in policies.items() if its.guarantee is not None}
        if not versions:
            return None
        return lambda tenant, policy: self.distrust_reason(tenant, policy, versions.get(policy, ""))

    def impaired(self, policies: Mapping[str, MonitoredPolicy]) -> list[str]:
        """The distrust reasons of the current version of each policy, for all tenants."""
        current = (place for place in self._alarms if place[1] in policies and policies[place[1]].version == place[2])
        return sorted({f"{self.distrust_reason(*place)}: only its large model answers" for place in current})

    def target_states(self, policies: Mapping[str, MonitoredPolicy]) -> list[tuple[str, str, bool]]:
        """Tenant, policy and whether its target was missed, for the current versions that were measured."""
        return [
            (each.tenant, each.policy, each.alarm_at is not None)
            for each in self._read(tables.guarantee_statuses)
            if each.policy in policies
            and policies[each.policy].version == each.version
            and policies[each.policy].guarantee is not None
        ]

    async def record_sample(
        self,
        sample: ShadowSample,
        guarantee: QualityGuarantee | None,
        confidence_level: float,
    ) -> bool:
        """Stores a sample; returns whether it raised the alarm. While the guarantee holds, the probability that an
        alarm is ever raised is at most 1 - `confidence_level`.
        """
        event = self._missed_target(sample, guarantee)
        now = await self._write(
            lambda c: tables.insert_sample(
                c,
                sample,
                lambda its: _updated_status(its, sample, guarantee, confidence_level),
                event,
            ),
        )
        rang = now.alarm_at is not None and _status_key(now) not in self._alarms
        if rang:
            self._alarms[_status_key(now)] = now
            log.warning("%s: only its large model answers", self.distrust_reason(*_status_key(now)))
        return rang

    def _missed_target(self, sample: ShadowSample, guarantee: QualityGuarantee | None) -> UnitOfWork[None]:
        target = None if guarantee is None else guarantee.quality
        data = {"policy": sample.policy, "target": target, "reference_model": sample.large, "trace": sample.trace}
        return self._publish_event("target.missed", data, sample.tenant)

    async def restore_policy(self, tenant: str, policy: str, version: str) -> bool:
        """Clears the alarm and restarts the measurement. Returns whether there was an alarm."""
        place = (tenant, policy, version)
        await self._write(lambda c: tables.save_status(c, GuaranteeStatus(*place, _now(), INITIAL_DRIFT)))
        return self._alarms.pop(place, None) is not None

    def comparison_cost(self, since: int) -> int:
        """Pico-dollars of all comparisons since `since` (unix ms)."""
        return self._read(lambda c: tables.comparison_cost(c, since))

    async def comparison_cost_by_policy(self, tenant: str, since: int) -> dict[str, int]:
        """The same for one tenant, by policy."""
        return await asyncio.to_thread(self._read, lambda c: tables.comparison_cost_by_policy(c, tenant, since))

    async def policy_quality(
        self,
        tenant: str,
        policies: Mapping[str, MonitoredPolicy],
        confidence_level: float,
    ) -> list[PolicyQuality]:
        """The quality of the current version of each policy, measured or not. `confidence_level`: of the intervals."""
        return await asyncio.to_thread(self._read_quality, tenant, policies, confidence_level)

    def _read_quality(
        self,
        tenant: str,
        policies: Mapping[str, MonitoredPolicy],
        confidence_level: float,
    ) -> list[PolicyQuality]:
        found = self._read(
            lambda c: {name: tables.summarize_samples(c, tenant, name, its.version) for name, its in policies.items()},
        )
        thought = self._read(lambda c: tables.summarize_feedback(c, tenant))
        return [
            _to_policy_quality(
                name,
                its,
                found[name],
                tuple(each for each in thought if each.policy == name),
                confidence_level,
            )
            for name, its in policies.items()
        ]

    async def recent_samples(self, tenant: str, policy: str, trust_version: str, limit: int) -> list[ShadowSample]:
        """The newest samples of a policy whose trust scores mean the same as `trust_version`'s, oldest first."""
        return await asyncio.to_thread(
            self._read,
            lambda c: tables.recent_samples(c, tenant, policy, trust_version, limit),
        )

    async def record_implicit(self, verdict: Feedback) -> None:
        """Stores feedback inferred from a client's behavior, also as a score."""
        score = _implicit_score(verdict)
        await self._write(
            with_event(lambda c: tables.replace_feedback(c, [verdict]), lambda c: put_score(c, score)),
        )


def _status_key(status: GuaranteeStatus) -> tuple[str, str, str]:
    return status.tenant, status.policy, status.version


def _updated_status(
    status: GuaranteeStatus,
    sample: ShadowSample,
    guarantee: QualityGuarantee | None,
    confidence_level: float,
) -> GuaranteeStatus:
    """An alarm stays. Samples of requests from before a restart, or after the alarm, are ignored."""
    if guarantee is None or status.alarm_at is not None or sample.at < status.since:
        return status
    drift = update_drift(status.drift, sample.loss or 0.0, 1.0 - guarantee.quality)
    return replace(
        status,
        drift=drift,
        guaranteed_quality=guarantee.quality,
        alarm_at=_now() if is_alarm(drift, confidence_level) else None,
    )


def _to_policy_quality(
    name: str,
    policy: MonitoredPolicy,
    samples: SampleSummary | None,
    feedback: tuple[FeedbackSummary, ...],
    confidence_level: float,
) -> PolicyQuality:
    promised = None if policy.guarantee is None else policy.guarantee.quality
    if samples is None:
        return PolicyQuality(name, guaranteed_quality=promised, feedback=feedback)
    measured, standing = (
        estimate_loss(samples.large_count, samples.loss_counts, samples.undecided, confidence_level),
        samples.status,
    )
    return PolicyQuality(
        policy=name,
        estimate=measured,
        since=standing.since,
        guaranteed_quality=promised,
        alarm_at=standing.alarm_at,
        feedback=feedback,
    )


def _implicit_score(verdict: Feedback) -> ScoreRow:
    """The same key asked both times."""
    row = ScoreRow(
        tenant=verdict.tenant,
        project=verdict.project,
        kind="trace",
        target=verdict.trace,
        name=verdict.kind,
        source="code",
        author=verdict.key,
        value=verdict.score,
        created=verdict.at,
        trace=verdict.trace,
        about_key=verdict.key,
        model=verdict.model,
        policy=verdict.policy,
        caller_key=verdict.key,
    )
    return replace(row, id=score_id(row))


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000
