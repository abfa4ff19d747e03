"""Recording middleware: writes one record and counts metrics per request; never stores prompt text.

Runs in the hot path. Text events pass through untouched: `on_event` is not a coroutine but returns the awaitable of the
inner `send`, so that an event costs one comparison.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from time import perf_counter

from msgspec import UNSET, Struct
from msgspec.structs import replace

from sizewise.attempt_progress import ProgressUpdate
from sizewise.data_class import DataClass
from sizewise.errors import BudgetExceeded, Forbidden, NoModelFits, ServerStopping, SizewiseError
from sizewise.guardrails.summary import guardrail_summary
from sizewise.handler import (
    NO_OPTIONS,
    AttemptFinished,
    ChoiceFinished,
    Event,
    GuardrailTriggered,
    Handler,
    ModelSelected,
    Request,
    Send,
    TextDelta,
)
from sizewise.messages import ChatRequest, Reply, Usage
from sizewise.request_origin import ReleaseLabel, RequestOrigin
from sizewise.settings.logs import LogsSettings
from sizewise.storage.rows import RowGroup, RowValues
from sizewise.telemetry.end_users import EndUserHashes
from sizewise.telemetry.metrics import Metrics
from sizewise.telemetry.record_ids import PROCESS_BITS
from sizewise.telemetry.request_log import request_log
from sizewise.telemetry.tables import CHUNK, ENDED_CALLS, join_tags

POLICY_ERRORS = (Forbidden, NoModelFits, BudgetExceeded)
"""Errors of our own whose message is recorded as the reason; an upstream's message may repeat the prompt."""
CLIENT_CLOSED_REQUEST = 499
"""Status of a request whose client disconnected; nginx's number, since there is no official one."""
NO_REQUEST_LOG = LogsSettings(level="warning")
PayloadSink = Callable[[int, Request, Reply | None], None]
MAX_NAME_CHARS = 200
MAX_REASON_CHARS = 500
"""Limits on texts that clients or models control: the requested model name, a reason."""


def requested_policy(request: Request) -> str:
    """The requested policy: the option for `auto`, the part after `auto:`, "fixed" for a model, else the alias."""
    model = request.payload.model
    if model == "auto" and request.options.policy is not None:
        return request.options.policy
    if "/" in model:
        return "fixed"
    return model.partition(":")[2] or model


class RecordingMiddleware:
    """Middleware. Records in a `finally` without awaiting, so that cancelled requests are recorded too."""

    def __init__(
        self,
        handler: Handler,
        *,
        write: Callable[[RowGroup], None],
        metrics: Metrics,
        record_ids: Iterator[int],
        log_payload: PayloadSink | None = None,
        is_stopping: Callable[[], bool] = bool,
        end_users: EndUserHashes | None = None,
        logs: LogsSettings = NO_REQUEST_LOG,
    ) -> None:
        """`write` accepts rows without waiting. `record_ids`: the ids of this process, shared across reloads.
        `is_stopping`: whether the server, and not the client, cancels requests.

        `log_payload` accepts the contents of a record without waiting; None: contents are not stored. `end_users`:
        hashes of the names of clients' users; None: they are not recorded. `logs`: whether to log each.
        """
        self._handler = handler
        self._write = write
        self._metrics = metrics
        self._record_ids = record_ids
        self._log_payload = log_payload
        self._is_stopping = is_stopping
        self._end_users = end_users
        self._log_request = request_log(logs)
        self._chunk, self._ids_left = 0, 0

    async def __call__(self, request: Request, send: Send) -> Reply:
        heard = EventCollector(send)
        reply: Reply | None = None
        status, error, refused = 500, "internal_error", ""
        self._metrics.in_flight += 1
        if request.options.idempotency_key is not None:
            request = replace(request, pending_record=next(self._record_ids))
        try:
            if request.options.end_user is not UNSET and self._end_users is not None:
                await self._end_users.try_load(request.principal.tenant)
            reply = await self._handler(request, heard.on_event)
            status, error = 200, ""
            return reply
        except SizewiseError as failed:
            status, error = failed.status, failed.code
            refused = failed.message if isinstance(failed, POLICY_ERRORS) else ""
            raise
        except asyncio.CancelledError:
            status, error = CLIENT_CLOSED_REQUEST, "cancelled"
            if self._is_stopping():
                status, error = ServerStopping.status, ServerStopping.code
            raise
        finally:
            self._metrics.in_flight -= 1
            self._record(request, heard, reply, status, error, refused)

    def _record(
        self,
        request: Request,
        collector: EventCollector,
        reply: Reply | None,
        status: int,
        error: str,
        error_message: str,
    ) -> None:
        total_s = perf_counter() - request.started_at
        number = next(self._record_ids)
        if not self._ids_left:
            self._chunk, self._ids_left = number, CHUNK
        self._ids_left -= 1
        principal, what, chosen, tries, guarded = (
            request.principal,
            request.payload,
            collector.model_selected,
            collector.attempts,
            collector.guardrail_events,
        )
        if chosen is None:
            model, why, policy, data_class = "", error_message, "", None
        else:
            model, why, policy, data_class = chosen.model, chosen.reason, chosen.policy, chosen.data_class
        policy = policy or requested_policy(request)
        if len(policy) > MAX_NAME_CHARS:
            policy = policy[:MAX_NAME_CHARS]
        if len(why) > MAX_REASON_CHARS:
            why = why[:MAX_REASON_CHARS]
        asked = what.model
        if len(asked) > MAX_NAME_CHARS:
            asked = asked[:MAX_NAME_CHARS]
        first = None if collector.first_token_at is None else collector.first_token_at - request.started_at
        place = reason = began = word = ended = score = threshold = None
        if len(tries) == 1:
            tried = tries[0]
            used, cost = tried.usage, tried.cost
            energy = tried.energy
            if tried.result == "answered":
                if first is None:
                    first = tried.first_token_s  # of a reply that was not streamed
                if tried.model == model and not tried.error_code:
                    place, began, ended = tried.place, tried.start_s * 1e3, tried.end_s * 1e3
                    score, threshold = tried.score, tried.threshold
                    if tried.first_token_s is not None:
                        word = tried.first_token_s * 1e3
                    reason = tried.reason
                    if len(reason) > MAX_REASON_CHARS:
                        reason = reason[:MAX_REASON_CHARS]
                    if reason == why:
                        reason = None
        else:
            used, cost = _total_usage(tries)
            energy = _total_energy(tries)
            if first is None:
                first = next(
                    (
                        tried.first_token_s
                        for tried in tries
                        if tried.result == "answered" and tried.first_token_s is not None
                    ),
                    None,
                )
        units = used.units
        # two tuples: one tuple of more than thirty values would be built from a list
        came: RowValues = (
            number,
            principal.tenant,
            principal.project,
            principal.key_id,
            request.trace_id,
            (number >> PROCESS_BITS) // 1000 - int(total_s * 1e3),
            request.endpoint,
            asked,
            policy,
            model,
            why,
            status,
            error,
            len(tries),
        )
        took: RowValues = (
            used.input,
            used.output,
            used.cached,
            used.cache_write,
            used.reasoning,
            used.estimated,
            cost,
            None if first is None else first * 1e3,
            total_s * 1e3,
            type(what) is ChatRequest and what.stream,
            reply.degraded[:MAX_REASON_CHARS] if reply is not None and reply.degraded else "",
            data_class or request_data_class(request),
            guardrail_summary(guarded)[:MAX_REASON_CHARS] if guarded else "",
            place,
            reason,
            began,
            word,
            ended,
            score,
            self._chunk,
            None if units is None else units.audio_ms or None,
            None if units is None else units.characters or None,
            None if units is None else units.images or None,
            (chosen.freshness or None) if chosen is not None else None,
        )
        plain = request.options is NO_OPTIONS and request.origin is None and request.release is None
        labels = NO_LABELS if plain else self._labels(request)
        last: RowValues = (threshold, *energy) if energy is not None and energy[0] else (threshold, None, None)
        if place is None and tries:
            apart = [_attempt_row(number, each, request, tried) for each, tried in enumerate(tries, 1)]
            rows: RowGroup = (("records", (came + took + labels + last,)), ("attempts", apart))
        else:
            rows = (("records", (came + took + labels + last,)),)
        if request.pending_record:
            rows += ((ENDED_CALLS, ((request.pending_record,),)),)
        self._write(rows)
        if self._log_payload is not None:
            self._log_payload(number, request, reply)
        if self._log_request is not None:
            self._log_request(request, model, policy if model else "", status, error, used, cost, total_s)
        self._metrics.count_request(model, policy if model else "", status, total_s, first, tries)
        for event in guarded:
            self._metrics.count_findings(event)

    def _labels(self, request: Request) -> RowValues:
        options, origin, answered, hashed = request.options, request.origin, request.release, None
        if options.end_user is not UNSET and self._end_users is not None:
            hashed = self._end_users.hash(request.principal.tenant, options.end_user) or None
        return (
            options.session or (origin.session or None if origin is not None else None),
            hashed,
            None if options.tags is UNSET else join_tags(options.tags),
            *(NO_ORIGIN if origin is None else _origin_values(origin)),
            None if options.prompt is UNSET else f"{options.prompt.id}@{options.prompt.version}",
            *(NO_RELEASE if answered is None else _release_values(answered)),
        )


UNKNOWN_ENERGY: RowValues = (None, None)
NO_ORIGIN: RowValues = (None, None, None, None, None)
NO_RELEASE: RowValues = (None, None, None)
NO_LABELS: RowValues = (None, None, None, *NO_ORIGIN, None, *NO_RELEASE)


def _origin_values(origin: RequestOrigin) -> RowValues:
    return (
        origin.parent_span,
        origin.trace_flags,
        origin.flow or None,
        origin.node or None,
        origin.agent or None,
    )


def _release_values(label: ReleaseLabel) -> RowValues:
    return label.environment, label.release or None, label.arm or None


def _total_usage(attempts: list[AttemptFinished]) -> tuple[Usage, int | None]:
    """Tokens and cost of all attempts; the cost is None if one is unknown."""
    used = Usage()
    cost: int | None = 0
    for tried in attempts:
        used += tried.usage
        cost = None if cost is None or tried.cost is None else cost + tried.cost
    return used, cost


def _total_energy(attempts: list[AttemptFinished]) -> tuple[int, int] | None:
    """That of all attempts, None if one is unknown."""
    total, sources = 0, 0
    for tried in attempts:
        if tried.energy is None:
            return None
        total, sources = total + tried.energy[0], sources | tried.energy[1]
    return total, sources


def _attempt_row(number: int, place: int, request: Request, attempt: AttemptFinished) -> RowValues:
    used = attempt.usage
    return (
        number,
        place,
        request.principal.tenant,
        request.trace_id,
        attempt.model,
        attempt.place,
        attempt.result,
        attempt.reason[:MAX_REASON_CHARS],
        attempt.start_s * 1e3,
        None if attempt.first_token_s is None else attempt.first_token_s * 1e3,
        attempt.end_s * 1e3,
        used.input,
        used.output,
        used.cached,
        used.cache_write,
        used.reasoning,
        used.estimated,
        attempt.cost,
        attempt.error_code,
        attempt.score,
        attempt.threshold,
        *(attempt.energy or UNKNOWN_ENERGY),
    )


class EventCollector(Struct):
    """Collects the events of a request. `first_token_at`: time.perf_counter() at the first content event."""

    send: Send
    first_token_at: float | None = None
    model_selected: ModelSelected | None = None
    attempts: list[AttemptFinished] = []
    guardrail_events: list[GuardrailTriggered] = []

    def on_event(self, event: Event) -> Awaitable[None]:
        kind = type(event)
        if kind is TextDelta:
            if self.first_token_at is None:
                self.first_token_at = perf_counter()
        elif type(event) is AttemptFinished:
            self.attempts.append(event)
        elif type(event) is ModelSelected:
            self.model_selected = event
        elif type(event) is GuardrailTriggered:
            self.guardrail_events.append(event)
        elif kind is not ChoiceFinished and kind is not ProgressUpdate and self.first_token_at is None:
            self.first_token_at = perf_counter()
        return self.send(event)


STRICTNESS: tuple[DataClass | None, ...] = (None, "public", "internal", "confidential")


def request_data_class(request: Request) -> DataClass | None:
    """The stricter of the classes set by the request and by its key."""
    said, ruled = request.options.data_class, request.principal.data_class
    if said is None or ruled is None:
        return said or ruled
    return max(said, ruled, key=STRICTNESS.index)
