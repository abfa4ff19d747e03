"""Models by their plain names, as people write them: `claude-3`, "GPT-4 Turbo", `granite`; guesses no spelling."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sizewise.catalog.model_info import ModelInfo

WORD = re.compile(r"[a-z]+|[0-9][a-z0-9.]*")
Words = tuple[str, ...]


def words_of(name: str) -> Words:
    """Lower-case words; a number with its unit is one: `Llama-3.1 8B` is llama, 3.1, 8b."""
    return tuple(word.rstrip(".") for word in WORD.findall(name.lower()))


def models_named(name: str, models: Iterable[ModelInfo]) -> tuple[ModelInfo, ...]:
    """The models that a plain name means, in their order; empty if it means none.

    The first of these that any model fulfils: its title or name has these words; its title begins with them; its name
    does; they are its vendor; they occur in this order. The vendor may stand before the name.
    """
    every, asked = tuple(models), words_of(name)
    if not asked:
        return ()
    for fits in (_equals, _title_begins, _name_begins, _is_vendor, _contains):
        found = tuple(model for model in every if fits(_without(asked, words_of(model.vendor)), model))
        if found:
            return found
    return ()


def _without(asked: Words, vendor: Words) -> Words:
    """The words after the vendor, or all if nothing follows."""
    return asked[len(vendor) :] if asked[: len(vendor)] == vendor and len(asked) > len(vendor) else asked


def _equals(asked: Words, model: ModelInfo) -> bool:
    return asked in (words_of(model.title), words_of(model.name))


def _title_begins(asked: Words, model: ModelInfo) -> bool:
    return words_of(model.title)[: len(asked)] == asked


def _name_begins(asked: Words, model: ModelInfo) -> bool:
    return words_of(model.name)[: len(asked)] == asked


def _is_vendor(asked: Words, model: ModelInfo) -> bool:
    return asked == words_of(model.vendor)


def _contains(asked: Words, model: ModelInfo) -> bool:
    return _in_order(asked, words_of(model.title)) or _in_order(asked, words_of(model.name))


def _in_order(asked: Words, name: Words) -> bool:
    rest = iter(name)
    return all(word in rest for word in asked)
