"""Writes reference/what-a-client-sees.md from sizewise/testing/fault_expectations.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sizewise.testing.fault_expectations import FAULT_EXPECTATIONS, ExpectedOutcome

PAGE = Path(__file__).parent / "reference" / "what-a-client-sees.md"
INTRODUCTION = """\
# What a client sees when a model's server goes wrong

*Made from `sizewise/testing/fault_expectations.py` by `python -m docs.build`; change it there.*

Whatever befalls an upstream, a client gets **one well-formed end**, in the shape of its door, and the record says what
happened. `tests/gateway/test_fault_matrix.py` asks every line of this table at every door, whole and streamed, by name
and under a policy with a fallback, through the fast lane and through ASGI, of upstreams of each wire.

* **Before the first word** nothing has been sent: under a policy with a fallback the next model answers, and the client
  sees nothing of the fault. By name, the error keeps its status.
* **After the first word** it cannot be unsaid: *cut* means that the words so far are followed by one error event with
  the code `stream_interrupted`, and by no end mark. With `resume = true` in the policy another model goes on instead.
  The code behind *cut* is that of the attempt, in the record.
* An answer that is not streamed is checked before it is sent; it is never cut.

| fault | the upstream ... | whole | streamed |
|---|---|---|---|"""


def pages() -> dict[Path, str]:
    """The file made here and what belongs into it."""
    return {PAGE: "\n".join(_page())}


def _page() -> Iterator[str]:
    yield INTRODUCTION
    for name, row in FAULT_EXPECTATIONS.items():
        yield (
            f"| `{name}` | {row.description} | {_told(row.non_streaming, row.retry_after)} |"
            f" {_told(row.streaming, row.retry_after)} |"
        )
    yield "\nRun such a server: `python -m sizewise.testing.faults 9000`; the `model` of a request names its fault.\n"


def _told(end: ExpectedOutcome | None, retry_after: int | None) -> str:
    if end is None:
        return "-"
    if not end.code:
        return "the answer"
    code = f"[{end.code}](../errors/{end.code}.md)"
    if end.interrupted:
        return f"cut, {code}"
    return f"{end.status} {code}" + (f", `retry-after: {retry_after}`" if retry_after else "")
