"""Secrets are found as without a first look at the long words of a text; what these cannot show is not left to them."""

from __future__ import annotations

import re
from re import _parser as parser  # private: the only reader of its own patterns

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizewise.guardrails import secrets
from sizewise.guardrails.base import Finding, merge_overlaps
from sizewise.guardrails.long_words import long_words
from tests.guardrails.test_prefilter_equivalence import FOUND, NEARLY, SIGNS
from tests.properties import examples, tried_with_all

MORE = [
    "postgres://me:secret@host",
    "ab://:p@x",
    "https://example.com/a/long/path",
    "//registry.example.org/:_authToken = abcdefghij0123456789",
    "xoxb-1",
    "APA12345678",
    "API-documentation-of-it",
    "AKCp" + "a1" * 8,
    "MTAxMjM0NTY3ODkwMTIzNDU2.GaBcDe.abcdefghijklmnopqrstuvwxyz0123",
    "0123456789abcdef0123456789abcdef-us12",
    "ftp://ü:ö@é",
    "\u00a0",
    "\u0085",
    "\u2003",
    "\udc80",
    "ü",
    "\x1c",
    "\t",
    "@",
    " " * 3,
]

ELSE = [*NEARLY, *SIGNS, " ", " ", "\n"]


def without_a_first_look(text: str) -> list[Finding]:
    """Secrets with an issuer's format, each searched in the whole text, if that is as long as any with a secret."""
    if len(text) < secrets.MIN_TEXT_CHARS:
        return []
    long = long_words(text, secrets.MIN_SECRET_CHARS)
    forms = dict.fromkeys(form for mark, form in secrets.MARKERS if mark in long)
    found = [each for form in forms for each in secrets._matches(form, text)]
    return merge_overlaps(found) if secrets.KEYWORDS.search(long) else []


@pytest.mark.long
@tried_with_all
@examples(4_000)
@given(
    st.lists(
        st.one_of(st.sampled_from([*FOUND, *MORE]), st.sampled_from([*NEARLY, *SIGNS, " ", " ", "\n"])), max_size=14
    )
)
def test_a_secret_is_found_as_without_a_first_look(pieces: list[str]) -> None:
    text = "".join(pieces)
    plain = {(each.kind, each.start, each.end) for each in without_a_first_look(text)}
    found = {(each.kind, each.start, each.end) for each in secrets.find_secrets(text)}
    covered = {p for p in plain if any(f[1] <= p[1] and p[2] <= f[2] for f in found)}
    assert covered == plain


def test_what_is_a_long_word_is_long_and_has_no_space() -> None:
    for form in secrets.SECRET_PATTERNS:
        tree = parser.parse(form.pattern.pattern)
        spaced = re.search(r"ANY|NEGATE|NOT_LITERAL|SPACE|LITERAL, 32\)", repr(tree.data)) is not None
        short = tree.getwidth()[0] < secrets.MIN_SECRET_CHARS
        assert form.is_long_word is not (spaced or short), form.markers


def test_a_url_with_a_password_is_found_however_long_its_user_and_password_are() -> None:
    password = "aB3dE6gH9k" * 20
    url = f"see https://example.com/about, or postgres://{'u' * 100}:{password}@db"
    (found,) = secrets.find_secrets(url)
    assert url[found.start : found.end] == password
