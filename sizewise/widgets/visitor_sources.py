"""The sources that a flow outputs with its answer, as a visitor of a widget reads them; knows no flow and no markup.

Nothing else of the outputs is shown. A source that the flow numbers is shown with the answer. One without a number has
its place in the list, as the filter `passages` counts, and is shown only if the answer cites it: what a search found is
not what an answer says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

OUTPUTS = ("sources", "citations")
"""Outputs that name sources; the first with any counts."""
MARKER = re.compile(r"\[(\d{1,2}(?:\s?,\s?\d{1,2})*)\]")
MAX_READ = 1_000
"""Of a longer list the rest is not looked at."""
MAX_SOURCES = 20
MAX_QUOTES = 5
"""Of one source."""
MAX_TITLE, MAX_QUOTE = 300, 2_000
"""Characters."""


class VisitorSource(Struct, frozen=True):
    """`number`: as in `[1]`. `place`: document, page and heading, empty if the title says it. `url`: of a web page."""

    number: int
    title: str
    place: str = ""
    quotes: tuple[str, ...] = ()
    url: str = ""


def visitor_sources(outputs: Mapping[str, object], answer: str) -> list[VisitorSource]:
    """By number. What is no source is left out: a flow may give an output any value."""
    found = next((each for name in OUTPUTS if isinstance(each := outputs.get(name), list) and each), [])
    cited = {int(each) for marker in MARKER.finditer(answer) for each in marker[1].split(",")}
    sources: dict[int, VisitorSource] = {}
    for source, is_numbered in _sources(found[:MAX_READ]):
        before = sources.get(source.number)
        if before is not None:
            sources[source.number] = _joined(before, source)
        elif (is_numbered or source.number in cited) and len(sources) < MAX_SOURCES:
            sources[source.number] = source
    return [sources[number] for number in sorted(sources)]


def _sources(found: Sequence[object]) -> Iterator[tuple[VisitorSource, bool]]:
    for place, each in enumerate(found, 1):
        if isinstance(each, str) and each.strip():
            yield VisitorSource(place, _text(each, MAX_TITLE)), False
        elif isinstance(each, dict) and (source := _source(each, place)) is not None:
            number = each.get("number")
            yield source, type(number) is int and number > 0


def _source(said: Mapping[str, object], place: int) -> VisitorSource | None:
    """As a `cite` node, a `search` node or a flow of its own outputs it."""
    document = _first(said, "source", "document")
    where = _first(said, "cited", "place")
    title = _first(said, "title") or where or document
    if not title:
        return None
    number, page, quote = said.get("number"), said.get("page"), _first(said, "quote", "text", most=MAX_QUOTE)
    where = where or (f"{document}, page {page}" if type(page) is int and page > 0 else document)
    url = document if document.startswith(("https://", "http://")) else ""
    where = where.removeprefix(url).removeprefix(", ") if url else where  # the link says it
    return VisitorSource(
        number=number if type(number) is int and number > 0 else place,
        title=title,
        place="" if where == title else where,
        quotes=(quote,) if quote else (),
        url=url,
    )


def _joined(one: VisitorSource, other: VisitorSource) -> VisitorSource:
    """Two quotes of one source."""
    quotes = tuple(dict.fromkeys((*one.quotes, *other.quotes)))[:MAX_QUOTES]
    return replace(one, quotes=quotes)


def _first(said: Mapping[str, object], *names: str, most: int = MAX_TITLE) -> str:
    return next((_text(each, most) for name in names if isinstance(each := said.get(name), str) and each.strip()), "")


def _text(said: str, most: int) -> str:
    text = said.strip()
    return text if len(text) <= most else f"{text[: most - 1]}…"
