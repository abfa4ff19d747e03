"""Cron scheduler and signed webhook triggers of published flows; both run as the flow's publisher.

A run's id is derived from its cause, so a repeated webhook, or a minute seen by several servers, starts one run. Times
that pass while no server is up are not caught up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from heapq import heapify, heappop, heappush
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from sizewise.errors import BadBody, BadRequest, PathNotFound, SizewiseError
from sizewise.flows.executor import CompiledFlows
from sizewise.flows.language.expression import ExpressionError, render_value
from sizewise.flows.language.expression_parser import compile_value
from sizewise.flows.language.flow_spec import TriggerSpec
from sizewise.flows.language.types import Json
from sizewise.flows.run_start import RunStarter
from sizewise.flows.schedule import next_time, schedule_error
from sizewise.flows.tables import FlowRun
from sizewise.flows.versions.published_flow import PublishedFlow
from sizewise.flows.versions.store import FlowVersions
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.notifications.webhook_signatures import ReplayGuard, verify_webhook
from sizewise.offload.offload import LONG_BYTES
from sizewise.principal import Principal

log = logging.getLogger("sizewise.flows")

POLL_INTERVAL_S = 1.0
"""Between checks of the published flows: the longest delay before a new schedule takes effect."""
MAX_HEADERS = 100
MAX_HEADER_CHARS = 8_192


class ScheduledRun(Struct, frozen=True, order=True):
    """An entry of the queue. `at`: unix s."""

    at: int
    flow_key: tuple[str, str, str, str]
    trigger_index: int


def trigger_inputs(trigger: TriggerSpec, variables: Mapping[str, Json]) -> bytes:
    """The trigger's `inputs`, evaluated with `variables`, as JSON. Raises BadRequest."""
    try:
        inputs = render_value(compile_value(trigger.inputs), variables)
    except ExpressionError as wrong:
        raise BadRequest(f"the trigger's inputs: {wrong.message}", wrong.hint) from wrong
    return msgspec.json.encode(inputs)


def _run_id(*parts: object) -> str:
    """The id of the run that `parts` identify. It is predictable, but callers of startRun cannot claim it first: ids
    given there have only letters and digits.
    """
    return f"{parts[0]}-{sha256(chr(0).join(map(str, parts)).encode()).hexdigest()[:32]}"


class WebhookTriggers:
    """Starts flows that have a webhook trigger."""

    def __init__(self, versions: FlowVersions, flows: CompiledFlows, starter: RunStarter) -> None:
        self._versions = versions
        self._starter = starter
        self._flows = flows

    async def start_signed(
        self,
        project: str,
        flow: str,
        secrets: Sequence[str],
        headers: Mapping[str, str],
        body: bytes,
    ) -> FlowRun:
        """The run that this message starts, or has already started.

        Raises Forbidden if none of `secrets` signed it, PathNotFound if no such flow takes webhooks, BadRequest, and
        what `RunStarter.start` raises.
        """
        id = verify_webhook(headers, body, secrets, time.time(), ReplayGuard())
        published = self._versions.get_published("local", project, flow)
        principal = self._starter.publisher(published)
        inputs = await self.build_inputs(published, headers, body)
        run = _run_id("webhook", project, flow, id)
        return await self._starter.start(principal, flow, inputs, version=published.version, endpoint="webhook", id=run)

    async def start_authenticated(
        self,
        principal: Principal,
        flow: str,
        headers: Mapping[str, str],
        body: bytes,
        idempotency_key: str = "",
    ) -> FlowRun:
        """Like `start_signed`, for a caller with a key, as whom the flow runs."""
        published = self._versions.get_published(principal.tenant, principal.project, flow)
        inputs = await self.build_inputs(published, headers, body)
        run = (
            _run_id(
                "key",
                principal.tenant,
                principal.project,
                flow,
                principal.user_id or principal.key_id,
                idempotency_key,
            )
            if idempotency_key
            else ""
        )
        return await self._starter.start(principal, flow, inputs, version=published.version, endpoint="webhook", id=run)

    async def build_inputs(self, published: PublishedFlow, headers: Mapping[str, str], body: bytes) -> bytes:
        """The flow's inputs: those of its trigger, evaluated with `body` and `headers`, or else the body itself."""
        where = (published.tenant, published.project, published.name, published.version)
        triggers = (await self._flows.load(*where)).spec.triggers
        trigger = next((each for each in triggers if each.kind == "webhook"), None)
        if trigger is None:
            raise PathNotFound(
                f"the flow {published.name!r} has no webhook trigger",
                "add one: triggers: [{kind: webhook}]",
            )
        if len(body) < LONG_BYTES:
            return _webhook_inputs(trigger, headers, body)
        return await asyncio.to_thread(_webhook_inputs, trigger, headers, body)


def _webhook_inputs(trigger: TriggerSpec, headers: Mapping[str, str], body: bytes) -> bytes:
    """Raises BadRequest."""
    try:
        return _map_inputs(trigger, headers, _decode_body(body))
    except RecursionError as error:  # the inputs are nested a few levels deeper than the body
        raise BadBody("the body is nested too deeply", "flatten it") from error


def _map_inputs(trigger: TriggerSpec, headers: Mapping[str, str], said: Any) -> bytes:
    """Raises BadRequest, RecursionError."""
    if trigger.inputs:
        few = {
            name: value[:MAX_HEADER_CHARS]
            for name, value in list(headers.items())[:MAX_HEADERS]
            if name not in SECRET_HEADERS
        }
        return trigger_inputs(trigger, {"body": said, "headers": few})
    if not isinstance(said, dict):
        raise BadRequest(
            "the message is not a JSON object",
            "send the flow's inputs as an object, or map them in the trigger's `inputs`",
        )
    return msgspec.json.encode(said)


SECRET_HEADERS = frozenset({"authorization", "cookie", "x-api-key", "webhook-signature", "proxy-authorization"})
"""Headers that are not passed to flows."""


def _decode_body(body: bytes) -> Any:
    """The text itself if it is not JSON. Raises RecursionError."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body.decode("utf-8", "replace")


class Scheduler:
    """Starts published flows with a cron trigger, once per due time, however many servers there are."""

    def __init__(self, versions: FlowVersions, flows: CompiledFlows, starter: RunStarter) -> None:
        self._versions = versions
        self._starter = starter
        self._flows = flows
        self._published: list[PublishedFlow] = []
        self._triggers: dict[tuple[str, str, str, str], tuple[PublishedFlow, tuple[TriggerSpec, ...]]] = {}
        self._queue: list[ScheduledRun] = []

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("flow schedules", POLL_INTERVAL_S, self.start_due, at_once=True)]

    async def start_due(self) -> float:
        """Seconds until it should be called again."""
        await self._sync()
        now = time.time()
        while self._queue and self._queue[0].at <= now:
            await self._start_run(heappop(self._queue))
        left = self._queue[0].at - now if self._queue else POLL_INTERVAL_S
        return min(POLL_INTERVAL_S, max(0.01, left))

    async def _sync(self) -> None:
        """Updates the queue with what was published or unpublished since the last call."""
        live = self._versions.list_published()
        if live == self._published:
            return
        self._published = live
        triggers = self._triggers
        self._triggers = {
            place: triggers.get(place) or await self._load_triggers(each) for each in live if (place := _flow_key(each))
        }
        self._queue = [due for due in self._queue if due.flow_key in self._triggers]
        heapify(self._queue)
        for place in self._triggers.keys() - triggers.keys():
            for number in range(len(self._triggers[place][1])):
                self._schedule(place, number, time.time())

    async def _load_triggers(self, published: PublishedFlow) -> tuple[PublishedFlow, tuple[TriggerSpec, ...]]:
        try:
            flow = await self._flows.load(*_flow_key(published))
        except SizewiseError as error:
            log.warning("the flow %r was not scheduled: %s", published.name, error.message)
            return published, ()
        return published, tuple(each for each in flow.spec.triggers if each.kind == "cron")

    def _schedule(self, place: tuple[str, str, str, str], number: int, after: float) -> None:
        published, triggers = self._triggers[place]
        trigger = triggers[number]
        wrong = schedule_error(trigger.schedule, trigger.zone)
        if wrong:
            log.warning("the flow %r was not scheduled: %s", published.name, wrong)
        else:
            heappush(self._queue, ScheduledRun(next_time(trigger.schedule, trigger.zone, after), place, number))

    async def _start_run(self, due: ScheduledRun) -> None:
        published, triggers = self._triggers[due.flow_key]
        trigger = triggers[due.trigger_index]
        self._schedule(due.flow_key, due.trigger_index, due.at)
        when = datetime.fromtimestamp(due.at, ZoneInfo(trigger.zone)).isoformat()
        try:
            run = _run_id("cron", *due.flow_key[:3], due.trigger_index, due.at)
            await self._starter.start(
                self._starter.publisher(published),
                published.name,
                trigger_inputs(trigger, {"time": when}),
                version=published.version,
                endpoint="cron",
                id=run,
            )
        except SizewiseError as error:
            log.warning("the flow %r did not start at %s: %s", published.name, when, error.message)


def _flow_key(published: PublishedFlow) -> tuple[str, str, str, str]:
    return published.tenant, published.project, published.name, published.version
