"""Search results with their citations, and the warning that a model gets with a suspect one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from sizewise.data_class import DataClass, strictest
from sizewise.guardrails.untrusted_content import suspect_label

SearchMode = Literal["hybrid", "vector", "words"]


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

    @property
    def cited_to_model(self) -> str:
        """The citation, with a warning if the passage is suspect."""
        return suspect_label(self.cited) if self.suspicions else self.cited


class SearchResponse(Struct, frozen=True):
    """`results`: best first. `warnings`: why they may be incomplete."""

    results: tuple[SearchResult, ...]
    warnings: tuple[str, ...] = ()


def strictest_data_class(results: Sequence[SearchResult]) -> DataClass | None:
    """The data class of anything made from these passages; None if there are none."""
    return strictest(*(each.data_class for each in results)) if results else None
