"""Records as a Parquet file, in row groups of bounded size; needs pyarrow, an extra."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, BinaryIO

from sizewise.energy import ESTIMATES, watt_hours
from sizewise.errors import BadRequest
from sizewise.money import PICO_PER_DOLLAR
from sizewise.telemetry.tables import AttemptRow, RecordScore, RecordWithAttempts, RequestRecord, split_tags

GROUP_ROWS = 20_000
"""Rows of a row group, which are in memory, as columns, until it is written."""
HIDDEN = frozenset(
    {"energy", "energy_source", "tenant", "attempts", "cost", "tags", "at", "door", "asked", "trace_flags"}
)
UNSCORED = frozenset({"of_record"})
SPARSE = frozenset({"record", "tenant", "trace", "cost"})


class ParquetRecords:
    """Writes records; `close` writes the last row group and the footer."""

    def __init__(self, file: BinaryIO) -> None:
        """Raises BadRequest without pyarrow."""
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            hint = "run: pip install 'sizewise[parquet]', or export as jsonl"
            raise BadRequest("Parquet needs pyarrow, which is not installed", hint) from None
        self._arrow = pyarrow
        self._schema = _schema(pyarrow)
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._pages: list[Any] = []
        self._rows = 0

    def write(self, records: Sequence[RecordWithAttempts]) -> None:
        # As columns at once: the rows of a group as objects took 60 MB.
        self._pages.append(self._arrow.RecordBatch.from_pylist(list(map(_row, records)), self._schema))
        self._rows += len(records)
        if self._rows >= GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            pages = self._arrow.Table.from_batches(self._pages, self._schema)
            self._writer.write_table(pages.combine_chunks(), row_group_size=self._rows)
            self._pages, self._rows = [], 0


def _row(whole: RecordWithAttempts) -> dict[str, object]:
    record = whole.record
    return {
        "at": record.at,
        "endpoint": record.door,
        "requested_model": record.asked,
        "cost_usd": _dollars(record.cost),
        "energy_wh": None if record.energy is None else watt_hours(record.energy),
        "energy_estimated": None if record.energy is None else bool((record.energy_source or 0) & ESTIMATES),
        "tags": split_tags(record.tags),
        "attempts": [{**_fields(each, SPARSE), "cost_usd": _dollars(each.cost)} for each in whole.attempts],
        "scores": [_fields(each, UNSCORED) for each in whole.scores],
        **_fields(record, HIDDEN),
    }


def _fields(row: RequestRecord | AttemptRow | RecordScore, left_out: frozenset[str]) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__struct_fields__ if name not in left_out}


def _dollars(pico: int | None) -> Decimal | None:
    return None if pico is None else Decimal(pico) / PICO_PER_DOLLAR


def _schema(arrow: Any) -> Any:
    text, whole, number, flag = arrow.string(), arrow.int64(), arrow.float64(), arrow.bool_()
    money = arrow.decimal128(38, 12)
    tokens = [(name, whole) for name in ("input", "output", "cached", "cache_write", "reasoning")]
    attempt = arrow.struct(
        [
            ("number", whole),
            *((name, text) for name in ("model", "place", "result", "why", "error")),
            *((name, number) for name in ("began_ms", "first_ms", "ended_ms", "score", "threshold")),
            *tokens,
            ("estimated", flag),
            ("cost_usd", money),
        ]
    )
    score = arrow.struct(
        [
            *((name, text) for name in ("id", "name", "label", "source")),
            ("value", number),
            ("at", arrow.timestamp("ms", tz="UTC")),
        ]
    )
    names = ("trace", "endpoint", "project", "key", "requested_model", "policy", "model", "why", "error")
    labels = ("degraded", "data_class", "guards", "freshness", "session", "end_user", "parent_span")
    return arrow.schema(
        [
            ("id", whole),
            ("at", arrow.timestamp("ms", tz="UTC")),
            *((name, text) for name in names),
            ("status", whole),
            *tokens,
            ("estimated", flag),
            ("cost_usd", money),
            ("energy_wh", number),
            ("energy_estimated", flag),
            ("first_ms", number),
            ("total_ms", number),
            ("stream", flag),
            *((name, text) for name in (*labels, "flow", "node", "agent")),
            *((name, whole) for name in ("audio_ms", "characters", "images")),
            ("tags", arrow.list_(text)),
            ("attempts", arrow.list_(attempt)),
            ("scores", arrow.list_(score)),
        ]
    )
