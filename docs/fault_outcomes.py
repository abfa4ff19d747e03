"""Writes reference/what-a-client-sees.md from sizewise/testing/fault_expectations.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sizewise.testing.fault_expectations import FAULT_EXPECTATIONS, ExpectedOutcome

PAGE = Path(__file__).parent / "reference" / "what-a-client-sees.md"
INTRODUCTION = """\
# What a client sees when an upstream fails

*Generated from `sizewise/testing/fault_expectations.py` by `python -m docs.build`; edit it there.*

Whatever the failure of an upstream, a client receives **one well-formed end** in the format of its endpoint, and the
record shows the cause. `tests/gateway/test_fault_matrix.py` tests every row of this table on every endpoint, with and
without streaming, by model name and under a policy with a fallback, on the fast path and through ASGI, with upstreams
of each wire format.

* **Before the first token** nothing has been sent. Under a policy with a fallback the next model answers, and the
  client does not notice the failure. By model name, the error keeps its status.
* **After the first token** the text cannot be taken back. *cut* means that the stream ends with one error event with
  the code `stream_interrupted`, without an end marker; `/v1/responses` adds `response.failed`, and
  `/v1/chat/completions` closes the connection without the last chunk, because clients that do not know the event would
  take half an answer for a whole one. With `resume = true` in the policy another model continues instead. The code
  after *cut* is that of the attempt, in the record.
* A response without streaming is checked before it is sent, so it is never cut.
* **Codes that clients act on** are the upstream's: a 429 stays one, with its `Retry-After`; `insufficient_quota`,
  `content_policy_violation`, `content_filter`, `unsupported_parameter` and the like, with their `param`, are the
  `code` of the error object. `docs` and the record name ours.
* **The upstream's own words** reach the client only with a 4xx: up to 500 characters, with secrets replaced by `***`
  and tracebacks removed, whether or not guardrails are on. For a 5xx, a rejected API key and an error in a stream that
  has no code of a 4xx, the message is ours and ends with the trace id. The log has the line with that trace: what the
  upstream wrote, without secrets, and not at all if it repeats the prompt. The same text is logged once a minute for
  each model.
* **Unusual replies are answers**: a chunk whose `delta` is null or missing counts as empty, and the client gets a
  `delta`; without `usage` the tokens are estimated, and the record says so; `id` and `model` may be missing or null; a
  byte order mark before a reply, a stream or an error is dropped.
* **Tool calls** without an `id`, with a null one, or with that of another call get an id of their own; without an
  `index`, or with 0 for every call, they get one each. Streams keep them, and all endpoints show the same.
* **Compressed bodies**: gzip and deflate are decoded, asked for or not, up to 100 times the bytes received (beyond
  1 MiB). Brotli and Zstandard are `upstream_garbled`, by name. Interim responses (100, 102, 103) are skipped.

| fault | the upstream ... | not streamed | streamed |
|---|---|---|---|"""


def pages() -> dict[Path, str]:
    """The generated file and its text."""
    return {PAGE: "\n".join(_page())}


def _page() -> Iterator[str]:
    yield INTRODUCTION
    for name, row in FAULT_EXPECTATIONS.items():
        yield (
            f"| `{name}` | {row.description} | {_told(row.non_streaming, row.retry_after)} |"
            f" {_told(row.streaming, row.retry_after)} |"
        )
    yield "\nRun such a server: `python -m sizewise.testing.faults 9000`; the `model` of a request is its fault.\n"


def _told(end: ExpectedOutcome | None, retry_after: int | None) -> str:
    if end is None:
        return "-"
    if not end.code:
        return "the answer"
    code = f"[{end.code}](../errors/{end.code}.md)"
    if end.interrupted:
        return f"cut, {code}"
    return f"{end.status} {code}" + (f", `retry-after: {retry_after}`" if retry_after else "")
