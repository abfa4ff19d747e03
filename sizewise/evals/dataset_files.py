"""Reads a dataset folder: `prompts` and `outcomes` as .jsonl, .csv or .parquet files. Does not interpret them.

.parquet needs pyarrow, which is not a dependency of Sizewise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import msgspec

from sizewise.errors import BadRequest
from sizewise.evals.csv_rows import read_csv
from sizewise.evals.outcomes import OutcomeDataset, RecordedOutcome, RecordedPrompt, build_dataset

T = TypeVar("T")
BOM = b"\xef\xbb\xbf"
"""The UTF-8 byte order mark, which some editors write."""
ENDINGS = (".jsonl", ".csv", ".parquet")
"""Of files of data; the first that is there is read."""
CALIBRATE_HINT = "see docs/how-to/calibrate.md"


def read_dataset(folder: Path) -> OutcomeDataset:
    """Raises BadRequest, with file and line, for anything missing or invalid."""
    prompts, outcomes = outcome_file(folder, "prompts"), outcome_file(folder, "outcomes")
    digest = sha256(prompts.read_bytes() + outcomes.read_bytes()).hexdigest()
    return build_dataset(
        (row for _, row in read_rows(prompts, RecordedPrompt)),
        (row for _, row in read_rows(outcomes, RecordedOutcome)),
        digest,
    )


def outcome_file(folder: Path, name: str) -> Path:
    """`prompts` or `outcomes` of a folder of outcomes. Raises BadRequest."""
    for ending in ENDINGS:
        if (file := folder / f"{name}{ending}").is_file():
            return file
    hint = "a folder of outcomes has prompts.jsonl and outcomes.jsonl (or .csv, .parquet): docs/how-to/calibrate.md"
    raise BadRequest(f"there is no {name}.jsonl in {str(folder)!r}", hint)


def read_rows(file: Path, shape: type[T], hint: str = CALIBRATE_HINT) -> Iterator[tuple[int, T]]:
    """The rows of a .jsonl, .csv or .parquet file with their numbers, from 1. Raises BadRequest, with file and line."""
    is_csv = file.suffix == ".csv"
    for number, row in _READERS.get(file.suffix, _lines)(file):
        try:
            if isinstance(row, bytes):
                read = msgspec.json.decode(row, type=shape)
            else:
                read = msgspec.convert(row, shape, strict=not is_csv)  # all cells of a CSV file are text
        except (msgspec.DecodeError, UnicodeDecodeError) as why:
            fields = getattr(shape, "__struct_encode_fields__", ())
            known = f"use {', '.join(fields)}: {hint}" if "unknown field" in str(why) else hint
            raise BadRequest(f"{str(file)!r}, line {number}: {why}", known) from why
        yield number, read


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            said = line.removeprefix(BOM) if number == 1 else line
            if said.strip():
                yield number, said


def _parquet(file: Path) -> Iterator[tuple[int, object]]:
    try:
        from pyarrow import parquet
    except ImportError:
        hint = "pip install pyarrow, or write the rows as .jsonl"
        raise BadRequest(f"{str(file)!r} cannot be read without pyarrow", hint) from None
    batches = parquet.ParquetFile(file).iter_batches()
    yield from enumerate((row for batch in batches for row in batch.to_pylist()), 1)


_READERS: Mapping[str, Callable[[Path], Iterable[tuple[int, object]]]] = {".csv": read_csv, ".parquet": _parquet}
"""By ending; every other file is JSON lines."""
