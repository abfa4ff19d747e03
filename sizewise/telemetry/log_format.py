"""Formats log records as lines of text or JSON: one line an event, and never the message of an exception.

An exception's message may repeat a prompt, so only its type and place are shown. Messages of libraries may, too: of
those not in SHOWN_LIBRARIES only the place is shown.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from traceback import walk_tb

import msgspec

from sizewise.settings.logs import LOG_AREAS

OURS = "sizewise."
SHOWN_LIBRARIES = frozenset({"uvicorn.error"})
MAX_CHARS = 4_000
"""Of a message; the rest is cut."""
MAX_FRAMES = 12
"""Of a traceback, the last ones."""
PACKAGE_AREAS: Mapping[str, str] = {package: area for area, packages in LOG_AREAS.items() for package in packages}


class TextFormatter(logging.Formatter):
    """`2026-11-28T09:10:11.123Z WARNING flows: message name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        pairs = "".join(f" {name}={value}" for name, value in event_fields(record).items() if value not in ("", None))
        line = f"{_time(record)} {record.levelname} {area_of(record.name)}: {safe_message(record)}{pairs}"
        return line if line.isprintable() else "".join(each if each.isprintable() else _escaped(each) for each in line)


class JsonFormatter(logging.Formatter):
    """`time`, `level`, `area`, `message` and `pid`, and what the event has besides."""

    def format(self, record: logging.LogRecord) -> str:
        shown = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "area": area_of(record.name),
            "message": safe_message(record),
            "pid": record.process,
            **event_fields(record),
        }
        return msgspec.json.encode(shown).decode()


def safe_message(record: logging.LogRecord) -> str:
    """The message, without what could be a prompt or a secret."""
    if record.name.startswith(OURS) or record.name in SHOWN_LIBRARIES:
        text = record.getMessage()
        text = text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]}..."
    else:
        text = f"a message at {record.module}:{record.lineno} of the library {record.name}, which may hold contents"
    error = record.exc_info[1] if record.exc_info else None
    return text.strip() if error is None else f"{text.strip()} ({exception_place(error)})"


def exception_place(error: BaseException) -> str:
    """The type of an exception, and the calls that led to it, the last one first; never its message."""
    calls = [f"{frame.f_code.co_filename}:{line}" for frame, line in walk_tb(error.__traceback__)]
    return f"{type(error).__name__} at {' < '.join(calls[-MAX_FRAMES:][::-1]) or '?'}"


def event_fields(record: logging.LogRecord) -> dict[str, object]:
    """What was logged as `extra={"fields": ...}`."""
    found: dict[str, object] = getattr(record, "fields", None) or {}
    return found


def area_of(name: str) -> str:
    """The area of a logger; the name of a library's."""
    ours, _, rest = name.partition(".")
    return PACKAGE_AREAS.get(rest.partition(".")[0], "server") if ours == "sizewise" else ours


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()
