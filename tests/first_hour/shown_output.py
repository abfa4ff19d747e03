"""Loose comparison of what a page shows with what a command printed: ids, numbers, times and dollars are wild."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

GAP = re.compile(r"…|\.\.\.")
ID = re.compile(
    r"(?<![\w.])(?=[\w-]*\d)(?:\d{8}-\d{4,6}(?:-\d+)*|[a-z]{1,10}[-_][0-9a-z]{4,}|[0-9a-f]{7,}|[A-Za-z0-9+/]{40,}=*)(?![\w-])"
)
NUMBER = re.compile(r"[-+]?\$?\d[\d,.:]*(?: ?%)?(?: (?:ms|s|KB|MB|GB)\b)?")
NUMBERS = r"[-+]?\$?\d[\d,.:]*(?: ?%)?(?: (?:ms|s|KB|MB|GB)\b)?"
TOKEN = re.compile(f"(?P<gap>{GAP.pattern})|(?P<id>{ID.pattern})|(?P<number>{NUMBER.pattern})|(?P<space>\\s+)")


@dataclass
class KnownIds:
    """Ids of the page -> those that were printed here in their places, as a reader puts in theirs."""

    by_page: dict[str, str]

    def put_into(self, text: str) -> str:
        return ID.sub(lambda found: self._here(found[0]), text)

    def _here(self, shown: str) -> str:
        if shown in self.by_page:
            return self.by_page[shown]
        longer = [here for page, here in self.by_page.items() if page.startswith(shown)]
        return longer[-1] if longer else shown


def missing_line(shown: str, printed: str, ids: KnownIds) -> str:
    """The first line of `shown` that `printed` has not, after the ones before; "" if all are there, in order. Other
    lines may be in between. Notes ids."""
    lines: Iterator[str] = iter([_spaced(line) for line in printed.splitlines()])
    for wanted in shown.splitlines():
        if wanted.strip() in ("", "…", "..."):
            continue
        pattern, names = _pattern(_spaced(wanted))
        for line in lines:
            if found := pattern.fullmatch(line):
                ids.by_page |= dict(zip(names, found.groups(), strict=True))
                break
        else:
            return wanted
    return ""


def _spaced(line: str) -> str:
    """With one space where there are several; JSON as it is written at /graphql."""
    try:
        return json.dumps(json.loads(line), separators=(",", ":"))
    except ValueError:
        return " ".join(line.split())


def _like(id: str) -> str:
    """A pattern of ids of its kind."""
    if re.fullmatch(r"[\d-]+", id):
        return "[0-9a-f-]{8,}"
    if re.search(r"[A-Z+/=]", id):
        return r"[A-Za-z0-9+/=]{40,}"
    head = re.match(r"[a-z]+[-_](?=.)", id)
    return f"{head[0]}[\\w-]+" if head else "[0-9a-f]{6,}"


def _pattern(line: str) -> tuple[re.Pattern[str], list[str]]:
    """With a group for each id, and these."""
    parts, names, at = [], [], 0
    for token in TOKEN.finditer(line):
        parts.append(re.escape(line[at : token.start()]))
        at = token.end()
        if token["gap"]:
            parts.append(".*?")
        elif token["id"]:
            names.append(token["id"])
            parts.append(rf"(?<![\w-])({_like(token['id'])})(?![\w-])")
        else:
            parts.append(NUMBERS if token["number"] else r"\s*")
    return re.compile("".join([*parts, re.escape(line[at:])])), names
