"""What a gateway worker leaves to the store process: flows, idempotency keys and local embedding models.

A worker raises NeedsStore before anything was recorded, called or sent; the gateway then passes the whole request on.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine

from sizewise.flows.as_model import MODEL_PREFIX
from sizewise.handler import Handler, Request, Send
from sizewise.messages import EmbeddingRequest, Reply

UsesLocalEmbedding = Callable[[Request], bool]


class NeedsStore(Exception):
    """The request must be answered by the store process."""


class StoreDispatcher:
    """Handler that passes requests to models on, and leaves the others to the store process."""

    def __init__(self, handler: Handler, uses_local_embedding: UsesLocalEmbedding) -> None:
        self._handler = handler
        self._uses_local_embedding = uses_local_embedding

    def __call__(self, request: Request, send: Send) -> Coroutine[object, None, Reply]:
        """Raises NeedsStore."""
        payload = request.payload
        if request.options.idempotency_key is not None or payload.model.startswith(MODEL_PREFIX):
            raise NeedsStore
        if isinstance(payload, EmbeddingRequest) and self._uses_local_embedding(request):
            raise NeedsStore
        return self._handler(request, send)
