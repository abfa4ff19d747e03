"""Shadow traffic: samples routed requests, has a second model answer and a judge compare, off the request path.

A request is drawn when it has ended, independently of its content; the comparison is a task that ends with the server.
Each of its calls passes all layers as a request of its own, so data classes, budgets and records apply to it. Only
scores are stored, no text.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping

from sizewise.errors import Busy, ConfigError, SizewiseError, did_you_mean
from sizewise.evals.daily_budget import DailyBudget
from sizewise.evals.implicit_feedback import ImplicitFeedback
from sizewise.evals.paired_answers import CompareAnswers, PairedComparison
from sizewise.evals.quality_monitor import MonitoredPolicy, QualityMonitor
from sizewise.evals.shadow_requests import is_comparable
from sizewise.evals.tables import ShadowSample
from sizewise.handler import Handler, Request, Send
from sizewise.messages import Reply
from sizewise.model_card import ModelCard
from sizewise.routing.observation import Observation, ObservedReply
from sizewise.settings.routing import ShadowSettings
from sizewise.telemetry.metrics import Metrics

log = logging.getLogger("sizewise.evals")

IDLE_TIMEOUT_S = 60.0
"""How long a call to an embedded model waits until no client request is in progress."""
IDLE_POLL_S = 0.02
MAX_LOCAL_ATTEMPTS = 5
"""How often such a call is started if client requests interrupt it."""


class ShadowComparisons:
    """Comparisons in progress and their budget; outlives applications. Not thread-safe: use it on the event loop."""

    def __init__(
        self,
        monitor: QualityMonitor,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.monitor = monitor
        self.metrics = metrics
        self.budget = DailyBudget(monitor.comparison_cost, clock)
        self.tasks: set[asyncio.Task[None]] = set()
        self.open_requests = 0  # of comparisons, in progress
        self.implicit_feedback = ImplicitFeedback(monitor, clock)

    async def stop(self) -> None:
        await self.implicit_feedback.stop()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class ShadowTraffic:
    """Belongs to one application. `observer` is None if neither samples nor repeated requests are wanted."""

    def __init__(
        self,
        *,
        settings: ShadowSettings,
        policies: Mapping[str, MonitoredPolicy],
        judge: ModelCard | None,
        compare: CompareAnswers,
        comparisons: ShadowComparisons,
        draw: Callable[[], float],
        handler: Handler,
    ) -> None:
        """`judge` is None only if there is no chat model. `draw` returns a random number from 0 to 1."""
        draws = settings.sample_rate and judge is not None
        self.observer = self._observe if draws or settings.repeat_window_s else None
        self._settings = settings
        self._policies = policies
        self._judge = judge
        self._compare = compare
        self._comparisons = comparisons
        self._counts = comparisons.metrics.shadow_results
        self._draw = draw
        self._handler = handler
        comparisons.budget.remaining(
            settings.daily_budget,
        )  # loads today's spending now, so that no request waits for it

    def _observe(self, observation: Observation) -> None:
        """Draws, and starts a comparison. Counts the result of each draw."""
        if self._settings.repeat_window_s:
            self._comparisons.implicit_feedback.observe(observation, self._settings.repeat_window_s)
        if self._judge is None or self._draw() >= self._settings.sample_rate:
            return
        why = self._skip_reason(observation)
        if why:
            self._counts[why] += 1
            return
        task = asyncio.get_running_loop().create_task(self._run_comparison(observation, round(time.time() * 1000)))
        self._comparisons.tasks.add(task)
        task.add_done_callback(self._on_done)

    def _skip_reason(self, observation: Observation) -> str:
        """Why a drawn request is not compared, as a label of the metric; empty if it is."""
        its, shadows = self._policies.get(observation.policy), self._comparisons
        if (
            its is None
            or not is_comparable(observation.request)
            or its.reference_model not in [each.card.name for each in observation.candidates]
        ):
            return "unfit"  # without the large model among the candidates, the guarantee does not apply
        if shadows.monitor.distrust_reason(observation.request.principal.tenant, observation.policy, its.version):
            return "fallen"
        if len(shadows.tasks) >= self._settings.max_concurrent:
            return "busy"
        return "" if shadows.budget.remaining(self._settings.daily_budget) else "over_budget"

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._comparisons.tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._counts["failed"] += 1
            log.error(
                "a comparison failed: %s",
                fault.code if isinstance(fault, SizewiseError) else type(fault).__name__,
            )

    async def _run_comparison(self, observation: Observation, time_ms: int) -> None:
        judge = self._judge
        assert judge is not None
        ours = "process" in {judge.place, *(each.card.place for each in observation.candidates)}
        if ours and not await self._wait_until_idle():
            self._counts["busy"] += 1
            return
        its, principal, wanted = self._policies[observation.policy], observation.request.principal, self._settings
        large = next(each.card for each in observation.candidates if each.card.name == its.reference_model)
        given = next(each for each in observation.replies if each.was_delivered)
        small = _smaller_card(observation, large, given)
        pair = PairedComparison(
            send_to_model=self._send_to_model,
            request=observation.request,
            judge=judge,
            compare=self._compare,
            budget=self._comparisons.budget,
            max_cost=self._max_cost,
        )
        worse, error = (0.0, "") if small is None else await pair.compare(observation.replies, small, large)
        sample = ShadowSample(
            tenant=principal.tenant,
            project=principal.project,
            policy=observation.policy,
            version=its.version,
            meaning=its.trust_version,
            trace=observation.request.trace_id,
            at=time_ms,
            given=given.card.name,
            small="" if small is None else small.name,
            large=large.name,
            trust=next((each.score for each in observation.replies if each.card is small), None),
            worse=worse,
            judge=judge.name if pair.used_judge else "",
            share=wanted.sample_rate,
            cost=pair.cost,
            error=error,
        )
        rang = await self._comparisons.monitor.record_sample(sample, its.guarantee, wanted.confidence)
        self._counts["judged" if worse is not None else "unjudged"] += 1
        if rang:
            self._comparisons.metrics.drift_alarms[observation.policy] += 1

    def _max_cost(self) -> int:
        """A share of the remaining budget, so that concurrent comparisons do not exceed it together."""
        return self._comparisons.budget.remaining(self._settings.daily_budget) // self._settings.max_concurrent

    async def _send_to_model(self, request: Request, send: Send, card: ModelCard) -> Reply:
        """A call to an embedded model, which competes with clients for the CPU, runs only while there are none: a
        client request stops it, and it starts again. Raises Busy if it never completes.
        """
        if card.place != "process":
            return await self._send_request(request, send)
        for _ in range(MAX_LOCAL_ATTEMPTS):
            if not await self._wait_until_idle():
                break
            reply = await self._run_while_idle(self._send_request(request, send))
            if reply is not None:
                return reply
        raise Busy("no local model was idle")

    async def _send_request(self, request: Request, send: Send) -> Reply:
        self._comparisons.open_requests += 1
        try:
            return await self._handler(request, send)
        finally:
            self._comparisons.open_requests -= 1

    async def _run_while_idle(self, coroutine: Coroutine[None, None, Reply]) -> Reply | None:
        """None if a client request interrupted it."""
        task = asyncio.get_running_loop().create_task(coroutine)
        try:
            while not (await asyncio.wait({task}, timeout=IDLE_POLL_S))[0]:
                if self._has_clients():
                    return None
        finally:
            task.cancel()
            await asyncio.wait({task})
        return task.result()

    async def _wait_until_idle(self) -> bool:
        """Waits until no client request is in progress; False after IDLE_TIMEOUT_S."""
        until = time.monotonic() + IDLE_TIMEOUT_S
        while self._has_clients():
            if time.monotonic() > until:
                return False
            await asyncio.sleep(IDLE_POLL_S)
        return True

    def _has_clients(self) -> bool:
        return self._comparisons.metrics.in_flight > self._comparisons.open_requests


def _smaller_card(observation: Observation, large: ModelCard, delivered: ObservedReply) -> ModelCard | None:
    """The model to compare with `large`: the one that answered the client, else the last other one that replied, else
    the cheapest other candidate; None if there is none."""
    if delivered.card is not large:
        return delivered.card
    answered = [each.card for each in reversed(observation.replies) if each.card is not large]
    return next(iter([*answered, *(each.card for each in observation.candidates if each.card is not large)]), None)


def judge_card(name: str, cards: tuple[ModelCard, ...], large: ModelCard | None) -> ModelCard | None:
    """The judge named in the settings, else `large`. Raises ConfigError if there is no such chat model."""
    chats = {card.name: card for card in cards if card.task == "chat"}
    if name and name not in chats:
        hint = did_you_mean(name, list(chats)) or f"known: {', '.join(chats) or 'none'}"
        raise ConfigError(f"shadow.judge: there is no chat model {name!r}", hint)
    return chats[name] if name else large
