"""Rows on their way into a database: what is written, without how."""

from __future__ import annotations

from collections.abc import Sequence

RowValues = tuple[str | int | float | None, ...]
RowGroup = tuple[tuple[str, Sequence[RowValues]], ...]
"""Rows by the name of their statement, mostly a table, written together or not at all."""
