"""Applies the settings of the log to the loggers of this process; formats and writes nothing itself."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sizewise.settings.logs import LOG_AREAS, LogLevel, LogsSettings
from sizewise.telemetry.log_file import LogFileHandler, check_log_file
from sizewise.telemetry.log_format import JsonFormatter, TextFormatter, exception_place

SILENT_LIBRARIES = ("dbos",)
"""Their messages repeat what they work on."""

log = logging.getLogger("sizewise.server")


def prepare_logs(settings: LogsSettings, home: Path) -> Callable[[], None]:
    """Returns the function that applies the settings to this process. Raises ConfigError if the file cannot be written.

    Libraries are logged from `warning` on: what they say below may hold prompts.
    """
    path = home / Path(settings.file).expanduser() if settings.file else None
    if path is not None:
        check_log_file(path)

    def apply() -> None:
        handler = _handler(settings, path)
        root = logging.getLogger()
        for before in [each for each in root.handlers if isinstance(each.formatter, (TextFormatter, JsonFormatter))]:
            root.removeHandler(before)
            before.close()
        root.addHandler(handler)
        root.setLevel(logging.WARNING)
        for area, packages in LOG_AREAS.items():
            for package in packages:
                logging.getLogger(f"sizewise.{package}").setLevel(_number(settings.areas.get(area, settings.level)))
        for name in SILENT_LIBRARIES:
            logging.getLogger(name).propagate = False
        logging.raiseExceptions = False  # else a line that cannot be formatted is shown with its arguments

    return apply


def log_loop_errors(loop: asyncio.AbstractEventLoop) -> None:
    """Errors that no one awaits are logged by their type and place: asyncio shows messages and arguments."""

    def report(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is None:
            log.error("the event loop reported a problem without an exception")
        else:
            log.error("unexpected error in no request. Traceback: %s", exception_place(error))

    loop.set_exception_handler(report)


def _handler(settings: LogsSettings, path: Path | None) -> logging.Handler:
    handler: logging.Handler
    if path is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        handler = LogFileHandler(path, settings.max_bytes, settings.keep_files)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    return handler


def _number(level: LogLevel) -> int:
    return getattr(logging, level.upper())  # type: ignore[no-any-return]  # a level of the library
