"""Conformance suite for guardrails: well-formed findings on any text, in linear time; does no I/O.

Each check raises AssertionError that names the failure. `check_findings` must hold for every text: run it on many.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from math import inf

from sizewise.guardrails.base import Finding, Guard

HOSTILE: Mapping[str, str] = {
    "digits": "1",
    "digits apart": "1 ",
    "digits and dots": "1.",
    "cards": "4111-",
    "pluses": "+1 ",
    "brackets": "(0",
    "ats": "@",
    "names and ats": "a@",
    "domains": "a@a.",
    "colons": "a1:",
    "hexadecimal": "f1-",
    "letters": "a",
    "words": "a ",
    "accents": "é@",
    "schemes": "a://b:",
    "tokens": "eyJaaaaaaaa.",
    "keys": "sk-",
    "passwords": "password: ",
    "assignments": "password=",
    "armour": "-----BEGIN PRIVATE KEY-----",
    "account": "DE89 ",
    "escapes": "\\u003c",
    "placeholders": "<EMAIL_",
    "combining": "\u0301",
    "spaces": " ",
    "lines": "\n",
    "born": "born 1 a 1 ",
    "call": "call 1 ",
}
"""Pieces to repeat that make slow patterns slow."""

SHORT, LONG = 20_000, 160_000  # characters
MAX_SLOWDOWN = 4.0
"""Allowed factor beyond linear: a text eight times as long takes eight times as long, plus some for a busy machine.
Quadratic time would take 64 times as long."""
AT_ONCE_S = 0.02  # shorter times are not measurable
ATTEMPTS = 5


def check_findings(guard: Guard, text: str) -> None:
    """Findings are within the text, in order, disjoint and deterministic; no exception."""
    found = guard(text)
    assert found == guard(text), "a guardrail returns the same findings for the same text"
    end = 0
    for each in found:
        assert isinstance(each, Finding), f"a guardrail returns findings, not {type(each).__name__}"
        assert end <= each.start < each.end <= len(text), f"{each.kind} at {each.start}-{each.end} after {end}"
        assert 0 <= each.score <= 1, f"a score is from 0 to 1, and {each.score} is not"
        assert each.guard and each.kind, "a finding has a guardrail and a kind"
        end = each.end


def check_linear_time(guard: Guard, piece: str, clock: Callable[[], float] = time.thread_time) -> None:
    """A text eight times as long takes about eight times as long, whatever its content.

    `clock` returns seconds. The default counts the CPU time of this thread, so that other work on the machine is not
    counted. Both times are measured again, up to `ATTEMPTS` times, before the guardrail is called slow.
    """
    short = long = inf
    for _ in range(ATTEMPTS):
        short = min(short, _seconds(guard, piece * (SHORT // len(piece)), clock))
        long = min(long, _seconds(guard, piece * (LONG // len(piece)), clock))
        if long <= max(short, AT_ONCE_S / 8) * LONG / SHORT * MAX_SLOWDOWN:
            return
    raise AssertionError(f"{LONG} characters of {piece!r} took {long:.2f} s, {SHORT} took {short:.3f} s")


def _seconds(guard: Guard, text: str, clock: Callable[[], float]) -> float:
    began = clock()
    guard(text)
    return clock() - began
