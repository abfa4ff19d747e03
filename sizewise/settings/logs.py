"""Settings of the server's log: its levels by area, its format, and the file that it is written to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from sizewise.errors import did_you_mean
from sizewise.settings.toml_reader import setting

LogLevel = Literal["debug", "info", "warning", "error"]
LOG_AREAS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "accounts": ("auth", "audit_log"),
        "alerts": ("alerts", "notifications"),
        "flows": ("flows", "prompts", "releases"),
        "gateway": ("gateway", "graphql"),
        "guardrails": ("guardrails",),
        "knowledge": ("knowledge", "file_search"),
        "limits": ("limits",),
        "models": ("providers", "catalog"),
        "routing": ("routing", "evals", "decisions"),
        "server": ("server", "workers", "ipc", "jobs", "app", "http"),
        "storage": ("storage", "cache", "files"),
        "telemetry": ("telemetry",),
        "tools": ("tools", "agents", "web_search"),
    }
)
"""Area -> the packages whose messages belong to it."""


def log_area(text: str) -> str:
    """The name of an area. Raises ValueError."""
    if text not in LOG_AREAS:
        near = did_you_mean(text, list(LOG_AREAS)) or f"Areas: {', '.join(LOG_AREAS)}."
        raise ValueError(f"there is no such area of the log. {near}")
    return text


@dataclass(frozen=True, slots=True)
class LogsSettings:
    """The log. It never contains prompts, replies, keys or other secrets, at any level."""

    level: LogLevel = setting("warning", "Least level that is logged: `info` adds a line for each request.")
    format: Literal["text", "json"] = setting("text", "A line of text, or one JSON object a line.")
    file: str = setting("", "File to append to, relative to the home; empty: stderr.")
    max_bytes: int = setting(
        10_000_000,
        "Bytes from which the file is rotated: FILE becomes FILE.1, and so on. 0: never, for an external logrotate.",
        minimum=0,
        maximum=1_099_511_627_776,
    )
    keep_files: int = setting(5, "Rotated files that are kept.", minimum=1, maximum=1_000)
    areas: Mapping[str, LogLevel] = setting(
        MappingProxyType({}),
        "Levels of single areas, by name: " + ", ".join(f"`{each}`" for each in LOG_AREAS) + ".",
        key_validator=log_area,
    )
