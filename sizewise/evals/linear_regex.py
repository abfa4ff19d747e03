"""Regular expressions of evals and data sets, matched in time linear in the text, whatever the pattern.

Patterns come from files that others wrote. The engine (Rust's regex, through jsonschema-rs) knows no look-around and no
back-references, which are refused; a compiled pattern is bounded in bytes.
"""

from __future__ import annotations

from collections.abc import Callable

from sizewise.errors import BadRequest

MAX_PATTERN_BYTES = 1024 * 1024
"""Of one compiled pattern."""
MAX_PATTERN_CHARS = 10_000
MAX_TEXT_CHARS = 1_000_000
"""The rest of a text is not searched."""


def compile_linear(pattern: str, *, ignores_case: bool = True) -> Callable[[str], bool]:
    """Whether the pattern is found anywhere in a text; a dot matches a line break as well. Raises BadRequest."""
    import jsonschema_rs  # takes 20 ms, needed only when a pattern is used

    if len(pattern) > MAX_PATTERN_CHARS:
        raise BadRequest(f"a regular expression has {len(pattern):,} characters", f"use {MAX_PATTERN_CHARS:,} at most")
    options = jsonschema_rs.RegexOptions(MAX_PATTERN_BYTES, MAX_PATTERN_BYTES)
    schema = {"pattern": f"(?{'i' if ignores_case else ''}s:{pattern})"}
    try:
        found = jsonschema_rs.validator_for(schema, pattern_options=options, mask="the text")
    except (jsonschema_rs.ValidationError, ValueError) as error:
        hint = "look-around and back-references are not known; sizewise matches in linear time"
        raise BadRequest(f"{pattern[:100]!r} is no regular expression that is known", hint) from error

    def is_found(text: str) -> bool:
        try:
            return found.is_valid(text[:MAX_TEXT_CHARS])
        except UnicodeEncodeError:  # half a character
            return found.is_valid(text[:MAX_TEXT_CHARS].encode("utf-8", "replace").decode())

    return is_found
