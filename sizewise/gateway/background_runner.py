"""Runs background responses: a stored request through the application into an event log; accepts and stores none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.app.release_choice import answering
from sizewise.cache.background_responses import ActiveResponse, Claim, EndedResponse
from sizewise.cache.background_store import BackgroundRequest
from sizewise.cache.event_log import EventLog
from sizewise.cache.stored_responses import StoredResponse
from sizewise.errors import OutcomeUnknown, ServerStopping, SizewiseError
from sizewise.gateway.file_search import NO_PAYLOAD
from sizewise.gateway.hosted_search import SearchCalls, SearchedRequest, asks_for_search, search_before_answer
from sizewise.gateway.response_metadata import ResponseMetadata
from sizewise.gateway.responses_storage import to_stored
from sizewise.gateway.stored_caller import stored_principal
from sizewise.handler import Event, Handler, ModelSelected, RawDelta, ReasoningDelta, Request, TextDelta, ToolDelta
from sizewise.messages import Reply
from sizewise.providers.wires.responses.request_in import ResponsesRequest, read_request
from sizewise.providers.wires.responses.response_object import ResponseEnvelope
from sizewise.providers.wires.responses.stream_out import ResponsesStreamWriter
from sizewise.telemetry.pending_records import insert_pending_record
from sizewise.telemetry.tables import ENDED_CALLS

Json = dict[str, Any]


class BackgroundJob:
    """A stored request with what its response is made of."""

    def __init__(self, active: ActiveResponse, request: BackgroundRequest) -> None:
        self.row = active.row
        self.request = request
        self.parsed = read_request(request.body, is_checked=True)
        self.prior = msgspec.json.decode(request.context, type=list[Raw])
        self.envelope = ResponseEnvelope(
            id=self.row.id,
            created_at=request.created_at,
            raw_fields=self.parsed.raw_fields,
            previous_response_id=request.previous_response_id,
        )
        self.stream = BackgroundStream(active.log, self.envelope, self.parsed.body.model, request.trace)

    def ended(self, response: Json, last_events: bytes = b"") -> EndedResponse:
        """The end with this response, and the data class and cost of its call."""
        whole = response | {"sizewise": self.stream.own_fields(response.get("degraded", ""))}
        stored = self.stored(whole)
        chosen = self.stream.selection
        if chosen is not None and chosen.data_class is not None:
            stored = replace(stored, data_class=chosen.data_class, online=chosen.online)
        return EndedResponse(stored, last_events or self.stream.last_event(whole))

    def stored(self, response: Json) -> StoredResponse:
        return to_stored(response, self.parsed, self.prior, self.row.tenant, self.row.project, self.row.caller)

    def shown(self, status: str) -> StoredResponse:
        """The unfinished response, as if it were stored."""
        status = "cancelled" if status == "cancelling" else status
        return self.stored(self.envelope.in_progress(self.stream.model) | {"status": status})

    def failed(self, error: SizewiseError) -> EndedResponse:
        model, items = self.stream.model, self.stream.partial_items()
        response = self.envelope.failed(error, model, items)
        return self.ended(response, self.stream.failure(error))

    def cancelled(self) -> EndedResponse:
        unfinished = self.envelope.in_progress(self.stream.model)
        return self.ended(unfinished | {"status": "cancelled", "output": self.stream.partial_items()})


class BackgroundStream(ResponseMetadata):
    """A Responses stream into an event log. The last event is left to whoever stores the response first."""

    __slots__ = ("_encoder", "_envelope", "_log", "_trace", "model")

    def __init__(self, log: EventLog, envelope: ResponseEnvelope, model: str, trace: str) -> None:
        super().__init__()
        self._log = log
        self._encoder = ResponsesStreamWriter(envelope, len(log.events))
        self._envelope = envelope
        self._trace = trace
        self.model = model
        if not log.events:  # of an earlier start
            log.append(self._encoder.queued(model))

    def begin_with(self, searches: SearchCalls) -> None:
        self._encoder.begin_with(searches.items(self._envelope), searches.annotations)

    def begin(self) -> None:
        self._log.append(self._encoder.in_progress(self.model))

    async def __call__(self, event: Event) -> None:
        if isinstance(event, TextDelta | ToolDelta | ReasoningDelta | RawDelta):
            self._log.append(self._encoder.write(event))
        else:
            self.record(event)
            if isinstance(event, ModelSelected):
                self.model = event.model

    def items_of(self, reply: Reply) -> list[Json]:
        self._log.append(self._encoder.close_items(reply))
        return self._encoder.items

    def partial_items(self) -> list[Json]:
        return self._encoder.partial_items()

    def own_fields(self, degraded: str) -> Json:
        return self.sizewise_object(self.model, self._trace, degraded)

    def last_event(self, response: Json) -> bytes:
        return self._encoder.finish(response)

    def failure(self, error: SizewiseError) -> bytes:
        return self._encoder.fail(error, self.model)


class ResponsesRunner:
    """The runner of this API. `get_app`: the current application; one response has one."""

    def __init__(self, get_app: Callable[[], Application]) -> None:
        self._get_app = get_app

    async def run(self, active: ActiveResponse, request: BackgroundRequest, claim: Claim) -> EndedResponse | None:
        app = self._get_app()
        offload, services = app.resources.offload, app.resources.services
        job = await offload.run(len(request.body) + len(request.context), BackgroundJob, active, request)
        try:
            row = job.row
            principal = stored_principal(app, row.caller, row.tenant, row.project, "the response")
            app = await answering(app, principal, request.options.session, request.trace)
            call = Request(
                payload=NO_PAYLOAD,
                principal=principal,
                trace_id=request.trace,
                started_at=time.perf_counter(),
                options=request.options,
                endpoint="responses",
            )
            searched = SearchedRequest(_runnable(job.parsed), job.prior)
            if asks_for_search(app, call, job.parsed):
                searched = await search_before_answer(app, call, searched.asked, job.prior)
            chat = await offload.run(len(request.body), searched.asked.to_chat, searched.before)
        except SizewiseError as error:
            return job.failed(error)
        options = searched.calls.tighten(request.options)
        job.stream.begin_with(searched.calls)
        call = replace(call, payload=chat, options=options, pending_record=next(services.records.ids))
        if not await claim(partial(insert_pending_record, request=call)):
            return None
        try:
            return await _call(searched.calls.wrap(app.handler), active, job, call)
        finally:  # after the call's own record, if its handler writes one
            services.records.enqueue(((ENDED_CALLS, ((call.pending_record,),)),))

    def cancelled(self, active: ActiveResponse, request: BackgroundRequest) -> EndedResponse:
        return BackgroundJob(active, request).cancelled()

    def interrupted(self, active: ActiveResponse, request: BackgroundRequest) -> EndedResponse:
        lost = OutcomeUnknown(
            "the response was interrupted: its server stopped during the call",
            f"it may have been billed: run `sizewise records {request.trace[:16]}`, and create it again",
        )
        return BackgroundJob(active, request).failed(lost)


async def _call(handler: Handler, active: ActiveResponse, job: BackgroundJob, call: Request) -> EndedResponse | None:
    """None if the server stops before a model was called."""
    if active.is_cancelled:
        return job.cancelled()
    try:
        job.stream.begin()
        active.call = asyncio.ensure_future(handler(call, job.stream))
        reply = await active.call
        items = job.stream.items_of(reply)
    except SizewiseError as error:
        if isinstance(error, ServerStopping) and not job.stream.attempts:
            return None
        return job.failed(error)
    except asyncio.CancelledError:
        if not active.is_cancelled:
            raise
        return job.cancelled()
    return job.ended(job.envelope.completed(replace(reply, model=job.stream.model), int(time.time()), items))


def _runnable(asked: ResponsesRequest) -> ResponsesRequest:
    """The request as the model gets it: streamed, and no longer in the background, which is ours."""
    fields = {name: raw for name, raw in asked.raw_fields.items() if name != "background"}
    fields["stream"] = Raw(b"true")
    return replace(asked, body=replace(asked.body, background=None, stream=True), raw_fields=fields)
