"""Reads a dataset folder: `prompts` and `outcomes` as .jsonl or .parquet files. Does not interpret them.

.parquet needs pyarrow, which is not a dependency of Sizewise.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import msgspec

from sizewise.errors import BadRequest
from sizewise.evals.outcomes import OutcomeDataset, RecordedOutcome, RecordedPrompt, build_dataset

T = TypeVar("T")
BOM = b"\xef\xbb\xbf"
"""The UTF-8 byte order mark, which some editors write."""
CALIBRATE_HINT = "see docs/how-to/calibrate.md"


def read_dataset(folder: Path) -> OutcomeDataset:
    """Raises BadRequest, with file and line, for anything missing or invalid."""
    prompts, outcomes = _file(folder, "prompts"), _file(folder, "outcomes")
    digest = sha256(prompts.read_bytes() + outcomes.read_bytes()).hexdigest()
    return build_dataset(
        (row for _, row in read_rows(prompts, RecordedPrompt)),
        (row for _, row in read_rows(outcomes, RecordedOutcome)),
        digest,
    )


def _file(folder: Path, name: str) -> Path:
    for ending in (".jsonl", ".parquet"):
        if (file := folder / f"{name}{ending}").is_file():
            return file
    hint = "a folder of outcomes contains prompts.jsonl and outcomes.jsonl (or .parquet): docs/how-to/calibrate.md"
    raise BadRequest(f"there is no {name}.jsonl in {str(folder)!r}", hint)


def read_rows(file: Path, shape: type[T], hint: str = CALIBRATE_HINT) -> Iterator[tuple[int, T]]:
    """The rows of a .jsonl or .parquet file with their numbers, from 1. Raises BadRequest, with file and line."""
    for number, row in _parquet(file) if file.suffix == ".parquet" else _lines(file):
        try:
            read = msgspec.json.decode(row, type=shape) if isinstance(row, bytes) else msgspec.convert(row, shape)
        except (msgspec.DecodeError, UnicodeDecodeError) as why:
            raise BadRequest(f"{str(file)!r}, line {number}: {why}", hint) from why
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
