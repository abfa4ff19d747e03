"""Masking: sends placeholders instead of personal data to distant models, and restores the values in replies.

Wraps a single model's handler, so that every call passes here: first attempt, fallback, retry, hedge, judge and shadow.
A request that cannot be masked is not sent.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Protocol

from msgspec.structs import replace

from sizewise.data_class import Place, is_within
from sizewise.errors import GuardrailBlocked
from sizewise.guardrails.base import Guard
from sizewise.guardrails.pseudonymization import MaskedScan, ScanFindings, Unmasker, pseudonymize, with_fields
from sizewise.guardrails.stream_unmasking import UnmaskingSend, unmask_reply
from sizewise.handler import ConnectModel, GuardrailTriggered, Handler, Request, Send
from sizewise.messages import ChatRequest, EmbeddingRequest, MediaRequest, Reply
from sizewise.model_card import ModelCard


class LongMasks(Protocol):
    """Masks long requests away from the event loop."""

    def is_long(self, payload: ChatRequest | EmbeddingRequest) -> bool: ...
    async def mask(
        self, payload: ChatRequest | EmbeddingRequest, guards: tuple[str, ...]
    ) -> tuple[ChatRequest | EmbeddingRequest, Unmasker | None]: ...


class MaskingConnector:
    """Wraps handlers of models beyond `unmasked_reach` in masking; others are returned as `connect` makes them."""

    def __init__(
        self,
        connect: ConnectModel,
        unmasked_reach: Place,
        guards: Mapping[str, Guard],
        masking_guards: frozenset[str],
        *,
        long: LongMasks | None = None,
    ) -> None:
        """`guards`: all guards by name. `masking_guards`: those that mask a request that has not been scanned.
        `long` masks long requests.
        """
        self._long = long
        self._connect = connect
        self._unmasked_reach = unmasked_reach
        self._guards = guards
        self._masking_guards = masking_guards

    def __call__(self, card: ModelCard) -> Handler:
        answer = self._connect(card)
        return answer if is_within(self._unmasked_reach, card.place) else MaskingHandler(answer, self)

    def long_masks(self, request: Request) -> LongMasks | None:
        """Those that mask this request, if it is long and its scan has not masked it."""
        found, long = request.scan, self._long
        if (
            long is None
            or (found is not None and found.payload is request.payload)
            or not long.is_long(request.payload)
        ):
            return None
        return long

    async def mask_long_request(
        self, request: Request, long: LongMasks
    ) -> tuple[ChatRequest | EmbeddingRequest, Unmasker | None]:
        """As `mask_request`."""
        hiding = self._masking_guards if request.scan is None else request.scan.masking_guardrails
        return await long.mask(request.payload, tuple(name for name in self._guards if name in hiding))

    def mask_request(self, request: Request) -> tuple[ChatRequest | EmbeddingRequest, Unmasker | None]:
        """The masked payload and its unmasker; None if there is nothing to mask.

        Reuses an earlier scan of the same payload; a judge's prompt, a repair or a continuation is scanned again.
        Raises BadBody for a request that cannot be decoded.
        """
        found = request.scan
        same = found is not None and found.payload is request.payload
        if found is not None and same and found.clean:
            return request.payload, None
        if isinstance(found, MaskedScan) and same:
            return found.masked, found.unmasker
        hiding = self._masking_guards if found is None else found.masking_guardrails
        seen = found.findings if same and isinstance(found, ScanFindings) else None
        return pseudonymize(
            request.payload,
            {name: self._guards[name] for name in self._guards if name in hiding},
            seen,
        )

    def masked_whole(self, request: Request) -> tuple[ChatRequest | EmbeddingRequest, Callable[[ChatRequest], Request]]:
        """The masked payload, and what makes a request of excerpts from it: each value in them is whole, and masked."""
        masked, unmasker = self.mask_request(request)
        hiding = self._masking_guards if request.scan is None else request.scan.masking_guardrails

        def with_values(excerpts: ChatRequest) -> Request:
            if unmasker is None:
                return replace(request, payload=excerpts)
            payload = with_fields(excerpts, unmasker.fields(excerpts.fields))
            scan = MaskedScan(
                payload=payload, masking_guardrails=hiding, clean=False, masked=excerpts, unmasker=unmasker
            )
            return replace(request, payload=payload, scan=scan)

        return masked, with_values

    def view_for(self, card: ModelCard, request: Request) -> ChatRequest | EmbeddingRequest:
        """The request as `card` may see it."""
        return request.payload if is_within(self._unmasked_reach, card.place) else self.mask_request(request)[0]


class MaskingHandler:
    __slots__ = ("_connector", "_handler")

    def __init__(self, handler: Handler, connector: MaskingConnector) -> None:
        self._handler = handler
        self._connector = connector

    def __call__(self, request: Request, send: Send) -> Coroutine[object, object, Reply]:
        long = self._connector.long_masks(request)
        if long is not None:
            return self._mask_and_ask(request, send, long)
        what, restore = self._connector.mask_request(request)
        if restore is None:
            return self._handler(request, send)
        return self._asked(replace(request, payload=what), restore, send)

    async def _mask_and_ask(self, request: Request, send: Send, long: LongMasks) -> Reply:
        what, restore = await self._connector.mask_long_request(request, long)
        if restore is None:
            return await self._handler(request, send)
        return await self._asked(replace(request, payload=what), restore, send)

    async def _asked(self, request: Request, unmasker: Unmasker, send: Send) -> Reply:
        """Raises GuardrailBlocked if the answer would be a picture or the sound of a placeholder."""
        counted = tuple((guard, kind, count) for (guard, kind), count in unmasker.counts.items())
        if isinstance(request.payload, MediaRequest) and not request.payload.answers_in_text:
            await send(GuardrailTriggered(counted, "blocked"))
            kinds = ", ".join(sorted({kind for _, kind in unmasker.counts}))
            raise GuardrailBlocked(
                f"the text has {kinds}, and placeholders for it cannot be replaced in audio or images",
                "remove it, name a model within `unmasked_place` of [guardrails], or set its guardrail to `flag`",
            )
        await send(GuardrailTriggered(counted, "masked"))
        restoring = UnmaskingSend(unmasker, send)
        reply = await self._handler(request, restoring)
        await restoring.end()
        return unmask_reply(reply, unmasker)
