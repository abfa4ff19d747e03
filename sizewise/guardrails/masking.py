"""Masking: sends placeholders instead of personal data to distant models, and restores the values in replies.

Wraps a single model's handler, so that every call passes here: first attempt, fallback, retry, hedge, judge and shadow.
A request that cannot be masked is not sent.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping

from msgspec.structs import replace

from sizewise.data_class import Place, is_within
from sizewise.guardrails.base import Guard
from sizewise.guardrails.pseudonymization import ScanFindings, Unmasker, pseudonymize
from sizewise.guardrails.stream_unmasking import UnmaskingSend, unmask_reply
from sizewise.handler import ConnectModel, GuardrailTriggered, Handler, Request, Send
from sizewise.messages import ChatRequest, EmbeddingRequest, Reply
from sizewise.model_card import ModelCard


class MaskingConnector:
    """Wraps handlers of models beyond `unmasked_reach` in masking; others are returned as `connect` makes them."""

    def __init__(
        self,
        connect: ConnectModel,
        unmasked_reach: Place,
        guards: Mapping[str, Guard],
        masking_guards: frozenset[str],
    ) -> None:
        """`guards`: all guards by name. `masking_guards`: those that mask a request that has not been scanned."""
        self._connect = connect
        self._unmasked_reach = unmasked_reach
        self._guards = guards
        self._masking_guards = masking_guards

    def __call__(self, card: ModelCard) -> Handler:
        answer = self._connect(card)
        return answer if is_within(self._unmasked_reach, card.place) else MaskingHandler(answer, self.mask_request)

    def mask_request(self, request: Request) -> tuple[ChatRequest | EmbeddingRequest, Unmasker | None]:
        """The masked payload and its unmasker; None if there is nothing to mask.

        Reuses an earlier scan of the same payload; a judge's prompt, a repair or a continuation is scanned again.
        Raises BadBody for a request that cannot be decoded.
        """
        found = request.scan
        same = found is not None and found.payload is request.payload
        if found is not None and same and found.clean:
            return request.payload, None
        hiding = self._masking_guards if found is None else found.masking_guardrails
        seen = found.findings if same and isinstance(found, ScanFindings) else None
        return pseudonymize(
            request.payload,
            {name: self._guards[name] for name in self._guards if name in hiding},
            seen,
        )

    def view_for(self, card: ModelCard, request: Request) -> ChatRequest | EmbeddingRequest:
        """The request as `card` may see it."""
        return request.payload if is_within(self._unmasked_reach, card.place) else self.mask_request(request)[0]


class MaskingHandler:
    __slots__ = ("_handler", "_mask_request")

    def __init__(
        self,
        handler: Handler,
        mask_request: Callable[[Request], tuple[ChatRequest | EmbeddingRequest, Unmasker | None]],
    ) -> None:
        self._handler = handler
        self._mask_request = mask_request

    def __call__(self, request: Request, send: Send) -> Coroutine[object, object, Reply]:
        what, restore = self._mask_request(request)
        if restore is None:
            return self._handler(request, send)
        return self._asked(replace(request, payload=what), restore, send)

    async def _asked(self, request: Request, unmasker: Unmasker, send: Send) -> Reply:
        counted = tuple((guard, kind, count) for (guard, kind), count in unmasker.counts.items())
        await send(GuardrailTriggered(counted, "masked"))
        restoring = UnmaskingSend(unmasker, send)
        reply = await self._handler(request, restoring)
        await restoring.end()
        return unmask_reply(reply, unmasker)
