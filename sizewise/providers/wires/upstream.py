"""What an upstream of OpenAI's wire tells beside its words, whole or streamed: tokens, refusals; pure, no socket."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from sizewise.chat import Usage
from sizewise.errors import SizewiseError, TooLong, Upstream, UpstreamBusy, UpstreamGarbled, UpstreamRefused

ABSENT = Raw(b"")


class InputDetails(Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class OutputDetails(Struct):
    reasoning_tokens: int | None = None


class UsageBody(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None


class ErrorDetail(Struct):
    message: str = ""
    code: str | int | None = None
    type: str | None = None


class ErrorBody(Struct):
    error: ErrorDetail | str | None = None
    message: str | None = None
    detail: Any = None


def read_usage(body: UsageBody | None) -> Usage | None:
    if body is None or body.prompt_tokens is None:
        return None
    into, out = body.prompt_tokens_details, body.completion_tokens_details
    return Usage(
        body.prompt_tokens,
        body.completion_tokens or 0,
        (into.cached_tokens or 0) if into else 0,
        (into.cache_write_tokens or 0) if into else 0,
        (out.reasoning_tokens or 0) if out else 0,
    )


def garbled(what: str) -> UpstreamGarbled:
    return UpstreamGarbled(f"the upstream's answer breaks the protocol: {what}", "check what answers at its base_url")


def present(raw: Raw) -> Raw | None:
    """`raw` where the field was there and not null."""
    return None if bytes(raw) in (b"", b"null") else raw


def read_error(status: int, retry_after: str | None, body: bytes) -> SizewiseError:
    """An upstream's refusal as ours. Its 401 and 403 are about *our* key and become a 502 for the client."""
    try:
        seen = msgspec.json.decode(body, type=ErrorBody)
    except (msgspec.DecodeError, RecursionError):
        seen = ErrorBody()
    detail = seen.error if isinstance(seen.error, ErrorDetail) else ErrorDetail(seen.error or seen.message or "")
    words = detail.message[:500] or f"HTTP {status}"
    if status in (401, 402, 403, 407):
        return Upstream(f"the upstream does not accept our key (HTTP {status})", "check the provider's `key` reference")
    if status == 429 or status in (503, 529):
        wait = _seconds(retry_after)
        return UpstreamBusy(f"the upstream is busy: {words}", "try again later", retry_after=wait)
    if "context" in str(detail.code) or "context length" in words or "exceed_context_size" in str(detail.type):
        return TooLong(words, "shorten the prompt or name a model with a larger window")
    if 400 <= status < 500 and status != 408:
        kept = status if status in (400, 404, 409, 413, 415, 422) else 400
        return UpstreamRefused(words, "the upstream refused this request", status=kept)
    if 300 <= status < 400:
        return Upstream(
            f"the upstream answered with a redirect (HTTP {status}), which is never followed", "mend base_url"
        )
    return Upstream(f"the upstream failed: {words}", "try again, or name another model")


def _seconds(retry_after: str | None) -> float | None:
    if retry_after and retry_after.strip().isdigit():
        return float(min(int(retry_after), 86_400))
    return None
