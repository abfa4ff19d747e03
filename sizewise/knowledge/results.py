"""A passage that was found, with its place; and how passages are shown to a model, as data that others wrote."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from sizewise.data_class import DataClass, strictest
from sizewise.guardrails.untrusted_content import marked


class Found(Struct, frozen=True):
    """`start` and `end` are characters of the document's text; `page` the first of `pages`, 0 where it has none.

    `suspect` says why it is one, for whoever shows it to a model: such a passage was let through on purpose.
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
    suspect: tuple[str, ...] = ()

    @property
    def cited(self) -> str:
        """As a citation says where it stands."""
        where = self.title if self.title and self.title in self.source else self.source
        if self.pages:
            first, last = self.pages[0], self.pages[-1]
            where += f", page {first}" if first == last else f", pages {first}-{last}"
        return f"{where}, {' > '.join(self.headings)}" if self.headings else where


def tightest(found: Sequence[Found]) -> DataClass | None:
    """How closely whatever uses these passages must be kept; None where there are none."""
    return strictest(*(each.data_class for each in found)) if found else None


def shown(found: Sequence[Found]) -> str:
    """For a prompt: each with its number and place, between marks that no document can know or close."""
    marks = marked()
    said = "\n\n".join(marks.text(each.text, f"[{number}] {each.cited}") for number, each in enumerate(found, 1))
    return f"{marks.rule}\n\n{said}" if found else "(no passage was found)"
