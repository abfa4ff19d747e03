"""How good a policy's answers were, as far as somebody looked: estimates, alarms, feedback; compares nothing itself."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from sizewise.errors import BadRequest, UnknownPath
from sizewise.evals import tables
from sizewise.evals.tables import Opinion, Sample, Seen, Standing, Verdict
from sizewise.principal import Caller
from sizewise.routing.guarantees.bounds import Promise
from sizewise.routing.guarantees.drift import BEGUN, Estimate, after, alarming, estimate
from sizewise.routing.model_aliases import Plan
from sizewise.routing.strongest_fallback import Fallen, reference
from sizewise.storage.database import Work
from sizewise.telemetry import tables as telemetry
from sizewise.telemetry.tables import Filter, Record

log = logging.getLogger("sizewise.evals")

T = TypeVar("T")
KIND = re.compile(r"[a-z][a-z0-9_-]{0,31}\Z")
"""No free text: what somebody thought in words is not kept."""
TRUST = ("kind", "votes", "verifier")
"""Options of a policy that change what its trust in an answer means."""
OURS = frozenset({"shadow", "judge"})
"""Doors of requests that nobody but Sizewise itself made."""


class Watched(Struct, frozen=True):
    """A policy as it is now. `version` changes with whatever it does differently, `meaning` with what trust means in
    it; `large` is the model whose answers are the standard, `promise` None where it promises nothing."""

    version: str
    large: str
    promise: Promise | None = None
    meaning: str = ""


def watched(plans: Mapping[str, Plan]) -> dict[str, Watched]:
    """Policies that leave a choice. A new calibration, other options or other models are a new version of one."""
    found: dict[str, Watched] = {}
    for name, plan in plans.items():
        policy, models = plan.policy, [card.name for card in plan.cards]
        said = repr((type(policy).__module__, type(policy).__qualname__, policy, models))
        promise = getattr(policy, "target", None)
        means = repr((models, *(getattr(policy, option, "") for option in TRUST)))
        kept = promise if isinstance(promise, Promise) else None
        found[name] = Watched(_short(said), reference(plan).name, kept, _short(means))
    return found


def _short(said: str) -> str:
    return hashlib.sha256(said.encode()).hexdigest()[:16]


class Quality(Struct, frozen=True):
    """What is known of one policy's answers, beside those of its large model.

    `estimate` is of the quality lost, over the sampled requests since unix ms `since`. `promised` (0..1) is None where
    nothing was, `alarm` unix ms when it was found broken.
    """

    policy: str
    estimate: Estimate = Estimate()
    since: int | None = None
    promised: float | None = None
    alarm: int | None = None
    feedback: tuple[Opinion, ...] = ()


class Reading(Protocol):
    def __call__(self, work: Work[T]) -> T: ...


class Writing(Protocol):
    async def __call__(self, work: Work[T]) -> T: ...


class Watch:
    """One per keeper, outlives Houses. All but `fallen` and `limps` may raise StoreFailed."""

    def __init__(self, read: Reading, write: Writing, settled: Callable[[], Awaitable[None]]) -> None:
        """`settled` returns when accepted records can be read."""
        self._read = read
        self._write = write
        self._settled = settled
        self._alarms = {_place(each): each for each in read(tables.standings) if each.alarm is not None}

    def fallen(self, tenant: str, policy: str, version: str) -> str:
        """Why the policy is not trusted, in words; empty when all is well. Hot: it looks at memory only."""
        its = self._alarms.get((tenant, policy, version)) if self._alarms else None
        return (
            "" if its is None else f"sampled answers of policy {policy!r} did not keep its promise of {its.promised:g}"
        )

    def against(self, now: Mapping[str, Watched]) -> Fallen | None:
        """`fallen` of policies as they are `now`; None where none promises anything."""
        versions = {name: its.version for name, its in now.items() if its.promise is not None}
        if not versions:
            return None
        return lambda tenant, policy: self.fallen(tenant, policy, versions.get(policy, ""))

    def limps(self, now: Mapping[str, Watched]) -> list[str]:
        """What `fallen` says of policies as they are `now`, to any tenant."""
        current = (place for place in self._alarms if place[1] in now and now[place[1]].version == place[2])
        return sorted({f"{self.fallen(*place)}: its large model answers alone" for place in current})

    async def sampled(self, sample: Sample, promise: Promise | None, sure: float) -> bool:
        """Notes a sample. True when it made the alarm ring, as happens with chance 1 - `sure` at most, ever, while the
        promise is kept."""
        now = await self._write(lambda c: tables.note(c, sample, lambda its: _moved(its, sample, promise, sure)))
        rang = now.alarm is not None and _place(now) not in self._alarms
        if rang:
            self._alarms[_place(now)] = now
            log.warning("%s: its large model answers alone", self.fallen(*_place(now)))
        return rang

    async def trust_again(self, tenant: str, policy: str, version: str) -> bool:
        """Begins anew. Whether it had fallen."""
        place = (tenant, policy, version)
        await self._write(lambda c: tables.stand(c, Standing(*place, _now(), BEGUN)))
        return self._alarms.pop(place, None) is not None

    def spent(self, since: int) -> int:
        """Pico-dollars of all comparisons since unix ms."""
        return self._read(lambda c: tables.spent(c, since))

    async def spent_by(self, tenant: str, since: int) -> dict[str, int]:
        """The same of one tenant, by policy."""
        return await asyncio.to_thread(self._read, lambda c: tables.spent_by(c, tenant, since))

    async def quality(self, tenant: str, now: Mapping[str, Watched], sure: float) -> list[Quality]:
        """Of every policy as it is `now`, measured or not. `sure` is of the intervals."""
        return await asyncio.to_thread(self._quality, tenant, now, sure)

    def _quality(self, tenant: str, now: Mapping[str, Watched], sure: float) -> list[Quality]:
        found = self._read(lambda c: {name: tables.seen(c, tenant, name, its.version) for name, its in now.items()})
        thought = self._read(lambda c: tables.opinions(c, tenant))
        return [
            _known(name, its, found[name], tuple(each for each in thought if each.policy == name), sure)
            for name, its in now.items()
        ]

    async def samples(self, tenant: str, policy: str, meaning: str, limit: int) -> list[Sample]:
        """The newest of a policy that came to their trust as it does now, in the order of time."""
        return await asyncio.to_thread(self._read, lambda c: tables.samples(c, tenant, policy, meaning, limit))

    async def noticed(self, verdict: Verdict) -> None:
        """What a client said of an answer without saying it."""
        await self._write(lambda c: tables.judge(c, [verdict]))

    async def feedback(self, caller: Caller, trace: str, score: float, kind: str) -> list[Verdict]:
        """Notes what the caller thinks of the answers of a trace id, or of its beginning. Of other keys' answers only
        who may manage.

        Raises BadRequest (no score, no kind, several traces), UnknownPath (no answer of theirs).
        """
        if not math.isfinite(score) or not 0.0 <= score <= 1.0:
            raise BadRequest(f"{score!r} is no score", "give a number from 0 (bad) to 1 (good)", param="score")
        if not KIND.match(kind):
            hint = "a kind is one word of small letters, digits, '-' and '_', as 'user'"
            raise BadRequest(f"{kind[:100]!r} is no kind of feedback", hint, param="kind")
        await self._settled()
        found = await asyncio.to_thread(
            self._read, lambda c: telemetry.last(c, Filter(caller.tenant, trace=trace), 100)
        )
        verdicts = _verdicts(found, caller, trace, score, kind)
        await self._write(lambda c: tables.judge(c, verdicts))
        return verdicts


def _place(its: Standing) -> tuple[str, str, str]:
    return its.tenant, its.policy, its.version


def _moved(its: Standing, sample: Sample, promise: Promise | None, sure: float) -> Standing:
    """An alarm that rang stays. What was asked before one began anew, or after the alarm, tells nothing."""
    if promise is None or its.alarm is not None or sample.at < its.since:
        return its
    drift = after(its.drift, sample.loss or 0.0, 1.0 - promise.quality)
    return replace(its, drift=drift, promised=promise.quality, alarm=_now() if alarming(drift, sure) else None)


def _known(name: str, its: Watched, seen: Seen | None, thought: tuple[Opinion, ...], sure: float) -> Quality:
    promised = None if its.promise is None else its.promise.quality
    if seen is None:
        return Quality(name, promised=promised, feedback=thought)
    measured, standing = estimate(seen.large, seen.losses, seen.unjudged, sure), seen.standing
    return Quality(name, measured, standing.since, promised, standing.alarm, thought)


def _verdicts(found: list[Record], caller: Caller, trace: str, score: float, kind: str) -> list[Verdict]:
    """One for each model that answered under the trace."""
    own = "manage_policies" not in caller.may
    seen = [its for its in found if caller.wide or its.project == caller.project]
    mine = [its for its in seen if its.model and its.door not in OURS and not (own and its.key != caller.key)]
    if not mine or not trace:
        hint = "give the x-sizewise-trace of an answer that your key got; `sizewise records` lists them"
        raise UnknownPath(f"there is no answer with the trace {trace[:100]!r}", hint)
    if len({its.trace for its in mine}) > 1:
        raise BadRequest(f"several traces begin with {trace[:100]!r}", "give more of it", param="trace")
    answered = {(its.policy, its.model): its for its in mine}
    return [
        Verdict(its.tenant, its.project, its.policy, its.model, its.trace, _now(), caller.key, kind, score)
        for its in answered.values()
    ]


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000
