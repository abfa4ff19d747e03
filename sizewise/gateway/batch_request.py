"""One request of a batch, answered by the route handler of its endpoint, without a connection; stores nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

import msgspec
from msgspec import UNSET, Raw, Struct
from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.gateway import completions, decisions, images, moderations, openai, responses
from sizewise.gateway.error_response import OPENAI_ERRORS, ErrorFormat
from sizewise.gateway.request_handling import handle
from sizewise.gateway.request_head import RequestHead, RouteHandler, new_trace_id
from sizewise.gateway.request_options import parse_options, read_tags
from sizewise.gateway.response_writer import Headers, decode_headers
from sizewise.handler import Request, RequestOptions
from sizewise.messages import ChatRequest, EmbeddingRequest
from sizewise.money import PICO_PER_DOLLAR
from sizewise.principal import Principal


class BatchEndpoint(Struct, frozen=True):
    """What answers the requests of a batch. `name`: as keys are restricted to it."""

    name: str
    handler: RouteHandler
    error_format: ErrorFormat = OPENAI_ERRORS


BATCH_ENDPOINTS: Mapping[str, BatchEndpoint] = {
    "/v1/chat/completions": BatchEndpoint("chat", openai.chat_completions),
    "/v1/responses": BatchEndpoint("responses", responses.create, responses.ERROR_FORMAT),
    "/v1/completions": BatchEndpoint("completions", completions.completions),
    "/v1/embeddings": BatchEndpoint("embeddings", openai.embeddings),
    "/v1/moderations": BatchEndpoint("moderations", moderations.moderations),
    "/v1/images/generations": BatchEndpoint("images", images.generations),
    "/v1/decisions": BatchEndpoint("decisions", decisions.decisions),
}
"""By path. Everything that is asked with one JSON object and has a whole answer."""


class _ErrorObject(Struct):
    code: str | None = None
    message: str = ""


class _ErrorBody(Struct):
    error: _ErrorObject | None = None


class _OwnOptions(Struct):
    sizewise: Raw = Raw(b"null")


_error = msgspec.json.Decoder(_ErrorBody)
_own_options = msgspec.json.Decoder(_OwnOptions)


class CallResponse:
    """A `ResponseWriter` that keeps the whole answer."""

    def __init__(self, trace: str) -> None:
        self.trace = trace
        self.status = 0
        self.body = b""
        self._headers: dict[bytes, bytes] = {}

    async def send_response(self, status: int, headers: Headers, body: bytes, header_lines: bytes = b"") -> None:
        self.status, self.body = status, body
        self._headers = dict([*headers, *decode_headers(header_lines)])

    async def start_stream(self, headers: Headers) -> None:
        self.status, self._headers = 200, dict(headers)

    async def write(self, data: bytes) -> None:
        self.body += data

    async def end_stream(self) -> None: ...

    async def cut_stream(self) -> None:
        self.status = 502

    @property
    def has_started(self) -> bool:
        return self.status > 0

    @property
    def model(self) -> str:
        return self._headers.get(b"x-sizewise-model", b"").decode("latin-1")

    @property
    def cost(self) -> int | None:
        """Pico-dollars; None: unknown."""
        try:
            return round(Decimal(self._headers.get(b"x-sizewise-cost-usd", b"").decode("latin-1")) * PICO_PER_DOLLAR)
        except InvalidOperation:
            return None

    @property
    def retry_after(self) -> float:
        """Seconds; 0: it does not say."""
        said = self._headers.get(b"retry-after", b"")
        return float(said) if said.isdigit() else 0.0

    @property
    def error_code(self) -> str:
        return self._error_object().code or ""

    @property
    def error_message(self) -> str:
        return self._error_object().message

    def _error_object(self) -> _ErrorObject:
        try:
            found = _error.decode(self.body).error if self.status >= 400 else None
        except msgspec.DecodeError:
            found = None
        return found or _ErrorObject()


def own_max_cost(body: Raw) -> int | None:
    """Pico-dollars that a request allows itself in its `sizewise` object. Raises BadBody, msgspec.DecodeError."""
    return parse_options({}, _own_options.decode(body).sizewise).max_cost


class BatchCall(RequestHead):
    """The head of a request whose caller is known, and who waits for nothing. `share`: the pico-dollars that it may
    cost; None: no limit. `tags`: in addition to its own.
    """

    creator: Principal = Principal()
    share: int | None = None
    tags: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, creator: Principal, address: str, options: Mapping[str, str], *, batch: str, share: int | None
    ) -> BatchCall:
        """`options`: `x-sizewise-*` headers without the prefix. The request has the tag `batch`, too."""
        return cls(
            started=time.perf_counter(),
            trace=new_trace_id(),
            options={name: value for name, value in options.items() if name != "tags"},
            peer_address=address,
            creator=creator,
            share=share,
            tags=(*read_tags(options.get("tags")), batch),
        )

    def authenticate(self, app: Application) -> Principal:
        return self.creator

    def request(self, payload: ChatRequest | EmbeddingRequest, options: RequestOptions, endpoint: str) -> Request:
        tags = self.tags if options.tags is UNSET else tuple(dict.fromkeys((*options.tags, *self.tags)))
        most = min((each for each in (options.max_cost, self.share) if each is not None), default=None)
        options = replace(options, max_cost=most, tags=tags)
        return replace(super().request(payload, options, endpoint), background=True)

    async def answer(self, app: Application, endpoint: str, body: bytes) -> CallResponse:
        asked, response = BATCH_ENDPOINTS[endpoint], CallResponse(self.trace)
        await handle(asked.handler, app, self, body, response, asked.error_format)
        return response
