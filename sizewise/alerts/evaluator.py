"""Evaluator of alert rules, on the server that leads: which rule is due, what it measures; decides no state."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import msgspec

from sizewise.alerts import tables
from sizewise.alerts.record_metrics import Measured, measure_burn_rates, measure_records
from sizewise.alerts.rules import AlertRule
from sizewise.alerts.score_metrics import measure_scores
from sizewise.alerts.state_changes import change_states
from sizewise.errors import SizewiseError
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.notifications.outbox import Outbox
from sizewise.settings.alerts import RECORD_METRICS
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner
from sizewise.storage.leader_lease import StaleLeader

log = logging.getLogger("sizewise.alerts")

TICK_S = 1.0
BUSY_SHARE = 20
"""A rule is evaluated at most one part in this many of the time: what takes a second, every 20 seconds."""
RETENTION_S = 3_600.0

MeasureMetric = Callable[[AlertRule, int], Measured]
"""Measures a metric that is neither of records nor of scores. Takes unix ms."""
NO_METRICS: Mapping[str, MeasureMetric] = MappingProxyType({})


@dataclass(slots=True)
class RuleSchedule:
    """`due`: unix seconds. `took_s`: the last evaluation. `problem`: why it failed; empty if it did not."""

    due: float = 0.0
    took_s: float = 0.0
    problem: str = ""


class AlertEvaluator:
    """One per server; outlives a reload. `clock`: unix seconds."""

    def __init__(
        self,
        outbox: Outbox,
        read: TransactionRunner,
        write: AsyncTransactionRunner,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`write`: a transaction of the leader."""
        self._outbox = outbox
        self._read = read
        self._write = write
        self._clock = clock
        self._rules: Mapping[str, AlertRule] = MappingProxyType({})
        self._metrics = NO_METRICS
        self._schedules: dict[str, RuleSchedule] = {}

    def prepare(
        self, rules: Mapping[str, AlertRule], metrics: Mapping[str, MeasureMetric] = NO_METRICS
    ) -> Callable[[], None]:
        """Returns the function that applies them. `metrics`: those of neither records nor scores."""

        def apply() -> None:
            self._rules, self._metrics = MappingProxyType(dict(rules)), metrics
            self._schedules = {name: self._schedules.get(name) or RuleSchedule() for name in rules}

        return apply

    @property
    def rules(self) -> Mapping[str, AlertRule]:
        return self._rules

    def problem(self, rule: str) -> str:
        """Why its last evaluation on this server failed; empty if it did not."""
        found = self._schedules.get(rule)
        return found.problem if found is not None else ""

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [
            PeriodicTask("alerts", TICK_S, self.evaluate_due, at_once=True, leader_only=True),
            PeriodicTask("retention of alerts", RETENTION_S, self._delete_old, leader_only=True),
        ]

    async def evaluate_due(self) -> None:
        """Evaluates the rules whose time has come. A rule that fails keeps its states."""
        for name, schedule in tuple(self._schedules.items()):
            rule, begun = self._rules[name], time.monotonic()
            if self._clock() < schedule.due:
                continue
            try:
                await self.evaluate(rule)
                schedule.problem = ""
            except StaleLeader:
                return
            except SizewiseError as error:
                if not schedule.problem:
                    log.warning("the alert rule %r cannot be evaluated, it is tried again: %s", name, error.message)
                schedule.problem = error.message
            took, before = time.monotonic() - begun, schedule.took_s
            schedule.took_s, least = took, min(took, before)  # one slow one alone may be a busy machine's
            schedule.due = self._clock() + max(rule.every_s, BUSY_SHARE * least)

    async def evaluate(self, rule: AlertRule) -> None:
        """Evaluates one rule now. Raises SizewiseError."""
        now = round(self._clock() * 1_000)
        found = await asyncio.to_thread(self.measure, rule, now)
        await self._write(partial(change_states, rule=rule, found=found, now=now, outbox=self._outbox))

    def measure(self, rule: AlertRule, now: int) -> Measured:
        """Present values, without changing a state. `now`: unix ms. Raises SizewiseError."""
        if rule.objective:
            return self._read(partial(measure_burn_rates, rule=rule, now=now))
        if rule.metric in RECORD_METRICS:
            return self._read(partial(measure_records, rule=rule, now=now))
        if rule.metric.startswith("score:"):
            return measure_scores(self._read, rule, now)
        measured = self._metrics[rule.metric](rule, now)
        return {
            place: each if each.value is None else msgspec.structs.replace(each, level=rule.level(each.value))
            for place, each in measured.items()
        }

    async def _delete_old(self) -> None:
        now = round(self._clock() * 1_000)
        await self._write(partial(tables.forget_series, rules=list(self._rules), now=now))
        while await self._write(partial(tables.delete_old, now=now)):
            pass
