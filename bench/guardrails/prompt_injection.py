"""What the injection guard finds and what it takes for one, on sets it was not trained on, with intervals.

`python -m bench.guardrails.prompt_injection [FOLDER]`: FOLDER holds folders of outcomes (prompts.parquet or .jsonl),
whose prompts are ordinary traffic. Needs the packages of requirements/guards.in (`make bench-injection DATA=FOLDER`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from math import sqrt
from pathlib import Path
from pydoc_data.topics import topics

from bench.guardrails.attacks import DOCUMENT, FOREIGN, Labelled, read
from bench.guardrails.table_row import Row
from sizewise.guardrails.prompt_injection import PromptInjectionGuard, load_classifier

INDIRECT = frozenset({"indirect", "agents", "inboxes", "mails", "spiked mails", "repositories"})
MAILS = frozenset({"inboxes", "mails", "spiked mails", "office mails and tickets", "other mails of inboxes"})
PLAIN_DOCUMENTS = frozenset(
    {
        "office mails and tickets",
        "other mails of inboxes",
        "other repositories",
        "pages of Python's manual",
        "Python's library",
    }
)
LIBRARY = (".", "asyncio", "email", "http")
MOST = 3_000  # prompts of one set


def ordinary(folder: Path | None) -> Iterator[Labelled]:
    """Prompts of `folder`, each set's first 3,000, and documents that agents and people read."""
    for file in sorted(folder.glob("*/prompts.*")) if folder else ():
        for text in prompts(file)[:MOST]:
            yield Labelled(text, False, f"prompts of {file.parent.name}", "ordinary traffic, unseen")
    for text in topics.values():
        yield Labelled(text, False, "pages of Python's manual", "Python (PSF), unseen")
    library = Path(json.__file__).parents[1]
    for file in sorted(each for room in LIBRARY for each in (library / room).glob("*.py")):
        yield Labelled(file.read_text("utf-8", "replace")[:DOCUMENT], False, "Python's library", "Python (PSF), unseen")


def prompts(file: Path) -> list[str]:
    if file.suffix == ".parquet":
        from pyarrow import parquet

        column: list[str] = parquet.read_table(file).column("prompt").to_pylist()
        return column
    return [json.loads(line)["prompt"] for line in file.read_text("utf-8").splitlines()]


def rows(folder: Path | None = None) -> list[Row]:
    """A row a set, and the two sums: attacks with the ordinary texts that they are to be told from."""
    kinds: dict[str, list[Labelled]] = {}
    for each in [*read(FOREIGN), *ordinary(folder)]:
        kinds.setdefault(each.set, []).append(each)
    guards = {
        False: PromptInjectionGuard("DIRECT", load_classifier()),
        True: PromptInjectionGuard("INDIRECT", load_classifier()),
    }
    found = {
        name: [bool(guards[name in INDIRECT or _document(name)](each.text)) for each in texts]
        for name, texts in kinds.items()
    }
    made = list[Row]()
    for name, texts in kinds.items():
        hit, size = sum(found[name]), len(texts)
        if texts[0].attack:
            made.append(Row("injection", name, texts[0].source, size, hit / size, None))
        else:
            made.append(Row("injection", name, texts[0].source, 0, None, None, hit, size))
    sums: tuple[tuple[str, Callable[[str], bool]], ...] = (
        ("all direct", lambda name: not (name in INDIRECT or _document(name))),
        ("all indirect", lambda name: name in INDIRECT or _document(name)),
        ("all mails", lambda name: name in MAILS),
    )
    for title, chosen in sums:
        attacks = [name for name, texts in kinds.items() if texts[0].attack and chosen(name)]
        plain = [name for name, texts in kinds.items() if not texts[0].attack and chosen(name)]
        hit, size = sum(sum(found[name]) for name in attacks), sum(len(found[name]) for name in attacks)
        false, other = sum(sum(found[name]) for name in plain), sum(len(found[name]) for name in plain)
        made.append(Row("injection", title, "the sets above", size, hit / size, hit / (hit + false), false, other))
    return made


def _document(name: str) -> bool:
    return name in PLAIN_DOCUMENTS


def interval(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's, 95 %."""
    if not count:
        return 0.0, 1.0
    share, spread = hits / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def page(found: list[Row]) -> str:
    lines = [
        "| set | from | of them | recall | 95 % | precision | false alarms | 95 %, % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        recall = lows = precision = false = share = ""
        if row.recall is not None:
            low, high = interval(round(row.recall * row.n), row.n)
            recall, lows = f"{row.recall:.3f}", f"{low:.3f}-{high:.3f}"
        if row.precision is not None:
            precision = f"{row.precision:.3f}"
        if row.ordinary_n:
            low, high = interval(row.false_alarms, row.ordinary_n)
            false = f"{row.false_alarms:,} of {row.ordinary_n:,} ({100 * row.false_alarms / row.ordinary_n:.1f} %)"
            share = f"{100 * low:.1f}-{100 * high:.1f}"
        cells = (row.set, row.source, f"{row.n or row.ordinary_n:,}", recall, lows, precision, false, share)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def pace(words: int = 100, times: int = 2_000) -> float:
    """Microseconds for an ordinary prompt of so many words, the best of ten."""
    said = (
        "Could you explain to me how the committee decided which of the proposals would be funded this year, and what"
    )
    text = " ".join((said.split() * words)[:words])
    guard, best = PromptInjectionGuard("DIRECT", load_classifier()), float("inf")
    for _ in range(10):
        began = time.perf_counter()
        for _ in range(times):
            guard(text)
        best = min(best, (time.perf_counter() - began) / times)
    return best * 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="folders of outcomes: ordinary traffic")
    asked = parser.parse_args()
    try:
        print(page(rows(asked.folder)))
    except FileNotFoundError as why:
        print(why, file=sys.stderr)
        return 2
    print(f"\n{pace():.0f} us for a prompt of 100 words")
    return 0


if __name__ == "__main__":
    sys.exit(main())
