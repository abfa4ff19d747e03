"""Lines of a batch's files: requests, read and checked, and results, written, in OpenAI's format. Pure.

A line of the input: `{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {...}}`.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Iterator
from hashlib import blake2b
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from sizewise.batches.tables import BatchCounts

MAX_LINE_BYTES = 16 * 1024 * 1024
MAX_ERRORS = 50
"""Of a file, shown; there may be more."""
MAX_CUSTOM_ID_CHARS = 512


class BatchLine(Struct, frozen=True):
    """A request of the file. `body`: its JSON, unread."""

    custom_id: Annotated[str, Meta(min_length=1, max_length=MAX_CUSTOM_ID_CHARS)]
    url: str
    body: Raw
    method: str = "POST"


class BatchError(Struct, frozen=True):
    """Why a batch failed before its first request. `line`: from 1; None: of no line."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class BatchResult(Struct, frozen=True, array_like=True):
    """The answer to a request, or the error instead of one. `status`: of HTTP, 0 without an answer. `body`: JSON.
    `error`: code and message. `cost`: pico-dollars; None: unknown.
    """

    custom_id: str
    trace: str
    status: int = 0
    body: bytes = b""
    error: tuple[str, str] | None = None
    model: str = ""
    cost: int | None = None

    @property
    def failed(self) -> bool:
        return self.error is not None or not 200 <= self.status < 300

    @property
    def error_code(self) -> str:
        """Empty: it was answered."""
        if not self.failed:
            return ""
        if self.error is not None:
            return self.error[0]
        try:
            found = _refusal.decode(self.body).error
        except msgspec.DecodeError:
            found = None
        return (found.code if found else None) or f"http_{self.status}"


class _StreamFlag(Struct):
    stream: bool | None = None


class _ErrorObject(Struct):
    code: str | None = None


class _Refusal(Struct):
    error: _ErrorObject | None = None


_refusal = msgspec.json.Decoder(_Refusal)
_line = msgspec.json.Decoder(BatchLine)
_flag = msgspec.json.Decoder(_StreamFlag)


async def read_lines(parts: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """The lines of each part that are not empty, without a byte order mark; one beyond MAX_LINE_BYTES comes cut."""
    rest, is_first = b"", True
    async for part in parts:
        *whole, rest = (rest + (part.removeprefix(BOM_UTF8) if is_first else part)).split(b"\n")
        is_first = False
        if len(rest) > MAX_LINE_BYTES:
            whole, rest = [*whole, rest], b""
        yield [line for line in whole if line.strip()]
    if rest.strip():
        yield [rest]


def read_line(line: bytes) -> BatchLine:
    """Raises msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError."""
    return _line.decode(line)


class LineChecks:
    """Checks the lines of one file, in their order."""

    def __init__(self, endpoint: str, max_requests: int) -> None:
        self.errors: list[BatchError] = []
        self.total = 0
        self._endpoint = endpoint
        self._max_requests = max_requests
        self._seen = set[bytes]()

    def check(self, lines: list[bytes]) -> None:
        for line in lines:
            self.total += 1
            if len(self.errors) >= MAX_ERRORS:
                return
            if self.total > self._max_requests:
                message = f"the file has more than {self._max_requests:,} requests: split it"
                self.errors.append(BatchError("too_many_requests", message))
                return
            self.errors += self._errors(line, self.total)

    def _errors(self, line: bytes, number: int) -> Iterator[BatchError]:
        if not _is_utf8(line):
            yield BatchError("invalid_json_line", "this line is not UTF-8: save the file as UTF-8", line=number)
            return
        try:
            found = _line.decode(line)
            streams = _flag.decode(found.body).stream
        except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
            is_json = isinstance(error, msgspec.ValidationError)
            code = "invalid_request" if is_json else "invalid_json_line"
            yield BatchError(code, _reason(error) if is_json else "this line is not valid JSON", line=number)
            return
        if found.method != "POST":
            message = f"the method is {found.method[:20]!r}; only POST is possible"
            yield BatchError("invalid_method", message, "method", number)
        if found.url != self._endpoint:
            message = f"the url is {found.url[:100]!r}, and the batch's endpoint is {self._endpoint!r}"
            yield BatchError("mismatched_url", message, "url", number)
        if streams:
            yield BatchError("invalid_request", "`stream` is true; a batch has whole answers", "body.stream", number)
        key = blake2b(found.custom_id.encode(), digest_size=12).digest()
        if key in self._seen:
            message = f"the custom_id {found.custom_id[:100]!r} is there twice"
            yield BatchError("duplicate_custom_id", message, "custom_id", number)
        self._seen.add(key)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _reason(error: Exception) -> str:
    return str(error).replace("Object missing required field", "there is no field").replace(" - at `$.", " - at `")


# ---- results


def result_line(id: str, result: BatchResult) -> bytes:
    """A line of the output or error file. `id`: of the result."""
    body = Raw(result.body) if result.body else None
    response = None
    if result.error is None:
        response = {"status_code": result.status, "request_id": result.trace, "body": body}
    error = None if result.error is None else {"code": result.error[0], "message": result.error[1]}
    shown = {"id": id, "custom_id": result.custom_id, "response": response, "error": error}
    return msgspec.json.encode(shown) + b"\n"


class _TokenDetails(Struct):
    cached_tokens: int | None = 0
    reasoning_tokens: int | None = 0


class _Usage(Struct):
    """Of chat completions and embeddings, and of responses."""

    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    input_tokens: int | None = 0
    output_tokens: int | None = 0
    prompt_tokens_details: _TokenDetails | None = None
    completion_tokens_details: _TokenDetails | None = None
    input_tokens_details: _TokenDetails | None = None
    output_tokens_details: _TokenDetails | None = None


class _Answer(Struct):
    usage: _Usage | None = None


_answer = msgspec.json.Decoder(_Answer)


def result_counts(result: BatchResult) -> BatchCounts:
    """What this result adds to the batch's sums."""
    try:
        usage = _answer.decode(result.body).usage if result.body and not result.failed else None
    except msgspec.DecodeError:
        usage = None
    used = usage or _Usage()
    inward, outward = used.prompt_tokens_details or used.input_tokens_details, used.completion_tokens_details
    outward = outward or used.output_tokens_details
    return BatchCounts(
        done=1,
        failed=int(result.failed),
        input_tokens=(used.prompt_tokens or 0) + (used.input_tokens or 0),
        cached_tokens=(inward.cached_tokens or 0) if inward is not None else 0,
        output_tokens=(used.completion_tokens or 0) + (used.output_tokens or 0),
        reasoning_tokens=(outward.reasoning_tokens or 0) if outward is not None else 0,
    )
