"""Text of an upstream's error: what of it a client may read and what may be logged; no secret, traceback or prompt.

Used on failures only.
"""

from __future__ import annotations

import re

from sizewise.errors import BadBody
from sizewise.guardrails.middleware import request_texts
from sizewise.guardrails.secrets import find_secrets
from sizewise.messages import ChatRequest, EmbeddingRequest

MAX_SCANNED_CHARS = 8_192
"""More of an error text is not read; the scan takes about a millisecond for this much."""
MAX_SHOWN_CHARS = 500
MAX_PROMPT_BYTES = 262_144
"""With a longer prompt, the text of an error is not logged: the comparison would take too long."""
SHARED_WORDS = 3
"""An error text repeats the prompt if this many consecutive words are the same."""

TRACEBACK = re.compile(
    r"Traceback \(most recent call last\)"  # Python
    r"|\bFile \"[^\"\n]{1,300}\", line \d+"
    r"|\n\s{0,20}at [\w$.<> \[\]/]{1,200}\("  # Java, JavaScript, C#
    r"|\n\s{0,20}at (?:file|node|/)[^\n]{0,200}:\d+"
    r"|\bgoroutine \d+ \["  # Go
    r"|\bthread '[^'\n]{1,100}' panicked at",  # Rust
)
TRACEBACK_REMOVED = "[traceback removed]"
ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(?:n|r|t))")
"""Escapes of JSON in which a prompt may be repeated."""
WORD = re.compile(r"\w+")


def client_text(text: str) -> str:
    """`text` without secrets and tracebacks, at most 500 characters. Empty if it is one word too long to scan."""
    cut = text[:MAX_SCANNED_CHARS]
    if len(text) > MAX_SCANNED_CHARS:  # the last word may be the beginning of a secret
        cut = cut.rpartition(" ")[0]
    if (trace := TRACEBACK.search(cut)) is not None:
        cut = f"{cut[: trace.start()].rstrip()} {TRACEBACK_REMOVED}".lstrip()
    for found in reversed(find_secrets(cut)):
        cut = f"{cut[: found.start]}***{cut[found.end :]}"
    return cut[:MAX_SHOWN_CHARS]


def log_text(text: str, payload: ChatRequest | EmbeddingRequest) -> str:
    """`client_text` on one line; a note in its place if it repeats the prompt in `payload`."""
    shown = " ".join(client_text(text).split())
    said = _words(shown)
    if not said:
        return ""
    if sum(memoryview(raw).nbytes for raw in payload.fields.values()) > MAX_PROMPT_BYTES:
        return "[not logged: the prompt is too long to compare]"
    try:
        asked = [f" {' '.join(_words(each))} " for each in request_texts(payload)]
    except BadBody:
        return "[not logged: the prompt cannot be compared]"
    reply = f" {' '.join(said)} "
    runs = {f" {' '.join(said[at : at + SHARED_WORDS])} " for at in range(max(1, len(said) - SHARED_WORDS + 1))}
    for each in asked:
        if each.strip() and (each in reply or any(run in each for run in runs)):
            return "[not logged: it repeats the prompt]"
    return shown


def _words(text: str) -> list[str]:
    if "\\" in text:
        text = ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else " ", text)
    return WORD.findall(text.lower())
