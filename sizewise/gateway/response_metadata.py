"""Response metadata: what the headers and the last event of an answer say about it; writes nothing itself."""

from __future__ import annotations

import time

from sizewise.gateway.response_writer import JSON, Headers, encode_headers, header_value, trace_headers
from sizewise.guardrails.summary import guardrail_summary
from sizewise.handler import (
    AttemptFinished,
    Event,
    GuardrailTriggered,
    ModelSelected,
)
from sizewise.money import format_dollars


class ResponseMetadata:
    """A `send` that collects what the response headers need and writes nothing."""

    __slots__ = ("attempts", "cost", "guardrails", "selection")

    def __init__(self) -> None:
        self.selection: ModelSelected | None = None
        self.cost: int | None = 0
        self.attempts = 0
        self.guardrails: list[GuardrailTriggered] = []

    async def __call__(self, event: Event) -> None:
        self.record(event)

    def record(self, event: Event) -> None:
        kind = type(event)
        if kind is AttemptFinished:
            assert isinstance(event, AttemptFinished)
            self.attempts += 1
            self.cost = None if self.cost is None or event.cost is None else self.cost + event.cost
        elif kind is ModelSelected:
            assert isinstance(event, ModelSelected)
            self.selection = event
        elif isinstance(event, GuardrailTriggered):
            self.guardrails.append(event)

    def headers(self, trace: str) -> Headers:
        """x-sizewise-*: model, reason, and attempts if more than one, as far as known."""
        named = trace_headers(trace)
        if self.selection is not None:
            named.append((b"x-sizewise-model", header_value(self.selection.model)))
            named.append((b"x-sizewise-why", header_value(self.selection.reason)))
            if self.selection.freshness:
                named.append((b"x-sizewise-freshness", header_value(self.selection.freshness)))
            if self.selection.compacted:
                named.append((b"x-sizewise-compacted", header_value(self.selection.compacted)))
        asked = self.attempts if self.selection is None else self.selection.attempts
        if asked > 1:
            named.append((b"x-sizewise-attempts", b"%d" % asked))
        if self.guardrails:
            named.append((b"x-sizewise-guards", header_value(guardrail_summary(self.guardrails))))
        return named

    def final_headers(self, trace: str) -> Headers:
        """`headers` after the last attempt: with the cost, also of a failed request."""
        return [*self.headers(trace), (b"x-sizewise-cost-usd", self.cost_text())]

    def header_lines(self, trace: str) -> bytes:
        """`final_headers` and the content type, encoded as header lines."""
        chosen = self.selection
        if chosen is None or chosen.attempts > 1 or self.guardrails or chosen.freshness or chosen.compacted:
            return encode_headers([JSON, *self.final_headers(trace)])
        id, price = trace.encode(), b"0" if self.cost == 0 else self.cost_text()
        return _HEADER_LINES % (id, id, header_value(chosen.model), header_value(chosen.reason), price)

    def sizewise_object(self, model: str, trace: str, degraded: str) -> dict[str, object]:
        """The same for a stream, whose headers are sent before: the `sizewise` object of its last event."""
        why = self.selection.reason if self.selection else ""
        ours = {
            "model": model,
            "why": why,
            "cost_usd": self.cost_text().decode(),
            "attempts": self.attempts,
            "trace": trace,
        }
        ours |= {"guards": guardrail_summary(self.guardrails)} if self.guardrails else {}
        ours |= {"freshness": self.selection.freshness} if self.selection and self.selection.freshness else {}
        ours |= {"compacted": self.selection.compacted} if self.selection and self.selection.compacted else {}
        return ours | ({"degraded": degraded} if degraded else {})

    def answer_id(self, own: str) -> str:
        """The id of the answer: `own`, or in a retry that of the first answer."""
        first = self.selection.first_answer if self.selection is not None else None
        return own if first is None else first.id

    def created_at(self) -> int:
        """Unix seconds, the same in a retry."""
        first = self.selection.first_answer if self.selection is not None else None
        return int(time.time()) if first is None else first.created

    def cost_text(self) -> bytes:
        return b"0" if self.cost == 0 else format_dollars(self.cost).encode()


_HEADER_LINES = (
    b"content-type: application/json\r\nx-sizewise-trace: %b\r\nx-request-id: %b\r\n"
    b"x-sizewise-model: %b\r\nx-sizewise-why: %b\r\nx-sizewise-cost-usd: %b\r\n"
)
