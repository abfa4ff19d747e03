"""Dates of models as times: the first second of a day, month or year; knows no model."""

from __future__ import annotations

from datetime import UTC, datetime


def first_second(date: str) -> int:
    """The first second, in UTC, of a date such as 2026, 2026-01 or 2026-01-31."""
    year, month, day = (*map(int, date.split("-")), 1, 1)[:3]
    return int(datetime(year, month, day, tzinfo=UTC).timestamp())
