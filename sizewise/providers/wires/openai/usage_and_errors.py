"""Usage and errors of OpenAI-compatible upstreams, streamed or not; pure, opens no socket."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import (
    ContextLengthExceeded,
    SizewiseError,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamQuotaExceeded,
    UpstreamRejected,
)
from sizewise.messages import Usage
from sizewise.money import PICO_PER_DOLLAR

ABSENT = Raw(b"")


class InputDetails(Struct, frozen=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None


class OutputDetails(Struct, frozen=True):
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class OpenAiUsage(Struct):
    """OpenAI's usage, with the variants of other vendors of this wire."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek's name for cached_tokens
    cached_tokens: int | None = None  # Moonshot's
    num_sources_used: int | None = None  # xAI's live search, priced separately
    cost: Raw = ABSENT  # OpenRouter's charge, in dollars


class OpenAiErrorDetail(Struct):
    message: str = ""
    code: str | int | None = None
    type: str | None = None
    param: Any = None


class OpenAiErrorBody(Struct):
    error: OpenAiErrorDetail | str | None = None
    message: str | None = None
    detail: Any = None


MAX_TOKEN_COUNT = 1_000_000_000
"""The most tokens a reply can have. Usage with a larger or negative count is discarded."""
QUOTA_CODES = frozenset(("insufficient_quota", "billing_hard_limit_reached"))
PLAIN_CODE = re.compile(r"[a-z]+(?:_[a-z]+){0,7}")
"""A code that may be shown as it is: no word of a prompt and no secret has this shape."""
GENERIC_CODES = frozenset(("api_error", "bad_request", "invalid_request_error", "server_error", "unknown_error"))
"""Codes that say no more than the status."""
MAX_CODE_CHARS, MAX_PARAM_CHARS = 64, 200
STANDARD_TIERS = frozenset((None, "", "auto", "default", "standard", "on_demand"))
"""Service tiers at the list price, in the names of OpenAI and Groq."""


def read_usage(body: OpenAiUsage | None, tier: str | None = None) -> Usage | None:
    """`tier`: the service tier that the upstream reports. None if it reports no valid usage."""
    if body is None or body.prompt_tokens is None:
        return None
    prompt, said = body.prompt_tokens, body.completion_tokens or 0
    cached = written = reasoning = audio = 0
    if (into := body.prompt_tokens_details) is not None:
        cached, written, audio = into.cached_tokens or 0, into.cache_write_tokens or 0, into.audio_tokens or 0
    if (out := body.completion_tokens_details) is not None:
        reasoning, audio = out.reasoning_tokens or 0, audio + (out.audio_tokens or 0)
    cached = cached or body.prompt_cache_hit_tokens or body.cached_tokens or 0
    if not (
        0 <= prompt <= MAX_TOKEN_COUNT
        and 0 <= said <= MAX_TOKEN_COUNT
        and reasoning >= 0
        and cached >= 0
        and written >= 0
    ):
        return None
    # OpenAI counts reasoning within completion_tokens, xAI in addition to them: the total shows which. Tokens in the
    # total that neither explains count as output and are marked as estimated.
    beyond, guessed = (body.total_tokens or 0) - prompt - said, False
    if beyond > 0:
        said, guessed = min(said + beyond, MAX_TOKEN_COUNT), beyond != reasoning
        reasoning = reasoning or beyond
    if cached + written > prompt or reasoning > said:  # parts larger than the whole
        cached, written, reasoning, guessed = min(cached, prompt), 0, min(reasoning, said), True
    return Usage(
        input=prompt,
        output=said,
        cached=cached,
        cache_write=written,
        reasoning=reasoning,
        estimated=guessed,
        cache_write_1h=0,
        audio=audio,
        unpriced_reason="sources searched"
        if body.num_sources_used
        else ""
        if tier in STANDARD_TIERS
        else f"service tier {tier!r}",
        reported_cost=None if body.cost is ABSENT else pico_dollars(bytes(body.cost)),
    )


def pico_dollars(dollars: bytes) -> int | None:
    """A JSON number of dollars in whole pico-dollars, rounded half to even; None if invalid or out of range."""
    try:
        amount = msgspec.json.decode(dollars, type=Decimal)
        whole = int((amount * PICO_PER_DOLLAR).to_integral_value(ROUND_HALF_EVEN))
    except (msgspec.DecodeError, ArithmeticError, ValueError):
        return None
    return whole if 0 <= whole <= MAX_TOKEN_COUNT * PICO_PER_DOLLAR // 1000 else None


def protocol_error(reason: str) -> UpstreamProtocolError:
    return UpstreamProtocolError(
        f"the upstream's response violates the protocol: {reason}",
        "check what is served at `base_url` in [providers.NAME]",
    )


def value_or_none(raw: Raw) -> Raw | None:
    """`raw`; None if the field is missing or null."""
    return None if raw is ABSENT or bytes(raw) in (b"", b"null") else raw


def read_error(status: int, retry_after: str | None, body: bytes) -> SizewiseError:
    """An upstream error as ours. Its 401, 402, 403 and 407 concern *our* key and become a 502 for the client.

    The message holds the upstream's text, uncut, only for 4xx; for others it is ours, and the text is withheld.
    """
    try:
        seen = msgspec.json.decode(body, type=OpenAiErrorBody)
    except (msgspec.DecodeError, RecursionError):
        seen = OpenAiErrorBody()
    detail = (
        seen.error if isinstance(seen.error, OpenAiErrorDetail) else OpenAiErrorDetail(seen.error or seen.message or "")
    )
    withheld = status in (401, 402, 403, 407) or not 400 <= status < 500
    words = f"HTTP {status}" if withheld else detail.message or f"HTTP {status}"
    error = _to_error(status, retry_after, detail, words)
    if withheld and isinstance(error, UpstreamError):
        said = detail.message or body.decode(errors="replace")
        error.withheld_text = " ".join(str(each) for each in (detail.type, detail.code, said) if each)
    return error


def _to_error(status: int, retry_after: str | None, detail: OpenAiErrorDetail, words: str) -> SizewiseError:
    """`words`: what the client may read of the upstream's text."""
    if status in (401, 402, 403, 407):
        denied = UpstreamError(
            f"the upstream rejected the API key (HTTP {status})",
            "check `key` in [providers.NAME]",
        )
        denied.failure_scope = "key"
        return denied
    wait = _seconds(retry_after)
    if not QUOTA_CODES.isdisjoint((detail.code, detail.type)):
        used_up = "the quota of the upstream account is used up"
        return UpstreamQuotaExceeded(used_up, "check plan and billing of [providers.NAME]", retry_after=wait)
    if status in (429, 503, 529):
        busy = UpstreamOverloaded(f"the upstream is busy: {words}", "try again later", retry_after=wait)
        if status == 429:
            busy.status, busy.error_type = 429, "rate_limit_error"
        return _with_code(busy, detail)
    too_long = "context" in str(detail.code) or "context length" in detail.message
    if too_long or "exceed_context_size" in str(detail.type):
        if not 400 <= status < 500:
            words = "the prompt does not fit in the model's context window"
        return ContextLengthExceeded(words, "shorten the prompt, or use a model with a larger context window")
    if 400 <= status < 500 and status != 408:
        kept = status if status in (400, 404, 409, 413, 415, 422) else 400
        param = detail.param[:MAX_PARAM_CHARS] if isinstance(detail.param, str) else None
        hint = "the upstream rejected this request"
        return _with_code(UpstreamRejected(words, hint, param=param, status=kept), detail)
    if 300 <= status < 400:
        return UpstreamError(
            f"the upstream redirected the request (HTTP {status}); redirects are not followed",
            "fix `base_url` in [providers.NAME]",
        )
    failed = UpstreamError(f"the upstream failed: {words}", "try again, or use another model")
    failed.failure_scope, failed.retryable = "model", True
    return failed


def _with_code(error: UpstreamError, detail: OpenAiErrorDetail) -> UpstreamError:
    """`error` with the code that the upstream gave, if it is one."""
    code = detail.code
    if isinstance(code, str) and len(code) <= MAX_CODE_CHARS and PLAIN_CODE.fullmatch(code):
        error.upstream_code = "" if code in GENERIC_CODES else code
    return error


def _seconds(retry_after: str | None) -> float | None:
    if retry_after and retry_after.strip().isdigit():
        return float(min(int(retry_after), 86_400))
    return None
