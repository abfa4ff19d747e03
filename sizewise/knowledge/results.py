"""Search results with their citations, and how they are formatted for a prompt as untrusted data."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from sizewise.data_class import DataClass, strictest
from sizewise.guardrails.untrusted_content import new_markers


class SearchResult(Struct, frozen=True):
    """`start` and `end`: characters of the document's text. `page`: the first of `pages`; 0 if there are none.

    `suspicions`: reasons why the passage may be a prompt injection, though it was not held back or was released.
    """

    id: str
    document: str
    source: str
    title: str
    text: str
    score: float
    page: int
    pages: tuple[int, ...]
    headings: tuple[str, ...]
    start: int
    end: int
    data_class: DataClass
    suspicions: tuple[str, ...] = ()

    @property
    def cited(self) -> str:
        """Citation: title or source, pages, headings."""
        where = self.title if self.title and self.title in self.source else self.source
        if self.pages:
            first, last = self.pages[0], self.pages[-1]
            where += f", page {first}" if first == last else f", pages {first}-{last}"
        return f"{where}, {' > '.join(self.headings)}" if self.headings else where


def strictest_data_class(results: Sequence[SearchResult]) -> DataClass | None:
    """The data class of anything made from these passages; None if there are none."""
    return strictest(*(each.data_class for each in results)) if results else None


def format_for_prompt(results: Sequence[SearchResult]) -> str:
    """Passages with number and citation, between random markers that no document can know or close."""
    marks = new_markers()
    said = "\n\n".join(marks.wrap(each.text, f"[{number}] {each.cited}") for number, each in enumerate(results, 1))
    return f"{marks.instruction}\n\n{said}" if results else "(no passage was found)"
