"""The table of guards: recall, precision and false alarms on labelled sets, each with its source; sets no bar.

`python -m bench.guardrails.run [FOLDER]`: FOLDER holds folders of outcomes, whose prompts are ordinary traffic.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from bench.guardrails import names, pii, prompt_injection, secrets
from bench.guardrails.table_row import Row

TABLES: tuple[Callable[[Path | None], list[Row]], ...] = (pii.rows, names.rows, secrets.rows, prompt_injection.rows)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def main(words: list[str]) -> int:
    folder = Path(words[0]) if words else None
    if folder is not None and find_spec("pyarrow") is None and list(folder.glob("*/prompts.parquet")):
        print("prompts.parquet needs pyarrow: pip install pyarrow", file=sys.stderr)
        return 2
    print("| guard | set | from | n | recall | precision | false alarms |\n|---|---|---|---|---|---|---|")
    for rows in TABLES:
        for row in rows(folder):
            alarms = f"{row.false_alarms} of {row.ordinary_n}" if row.ordinary_n else ""
            measured = f"{row.n or ''} | {_share(row.recall)} | {_share(row.precision)} | {alarms}"
            print(f"| {row.guard} | {row.set} | {row.source} | {measured} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
