"""Every guard passes the one kit; a guard joins by its entry point. Regex blow-up: no text makes one slow."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizewise.guardrails.base import Finding, Guard, GuardConfig, Topic
from sizewise.plugins import load_plugin, plugin_names
from sizewise.testing.guardrail_conformance import HOSTILE, check_findings, check_linear_time
from tests.properties import examples, tried_with_all

pytestmark = tried_with_all

EXTRA = {"names": "spacy"}
"""Guards of an extra, and the library that it brings."""
GUARDS = [name for name in plugin_names("guardrails") if name not in EXTRA or find_spec(EXTRA[name])]
WORDS = GuardConfig({"games": Topic(("casino", "sports betting"), ("addiction",))}, ("canary-7f3a",))
PIECES = [
    *("jane@example.com", "4111 1111 1111 1111", "+44 20 7946 0958", "DE89 3704 0044 0532 0130 00", "1.2.3.4"),
    *("password: aB3$xY9!", "AKIAIOSFODNN7ABCDE12", "casino", "canary-7f3a", "İ", "ß", "\ud800", "\x00", " ", "\n"),
    *("passport C01234567", "-----BEGIN PRIVATE KEY-----", "a1:b2:c3:d4:e5:f6", "\\u003c", "１２３４５６７８９", "é"),
]
many = examples(150)
texts = st.one_of(
    st.text(st.characters(codec=None, exclude_categories=()), max_size=200),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), max_size=12).map("".join),
)


def guard(name: str) -> Guard:
    made: Guard = load_plugin("guardrails", name)(WORDS)
    return made


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_holds_its_shape_on_any_text(name: str) -> None:
    one = guard(name)

    @many
    @given(texts)
    def always(text: str) -> None:
        check_findings(one, text)

    always()


@pytest.mark.long
@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("name", GUARDS)
def test_regex_blow_up_no_text_makes_a_guard_slow(name: str, piece: str) -> None:
    check_linear_time(guard(name), piece)


def test_the_kit_bites() -> None:
    def outside(text: str) -> list[Finding]:
        return [Finding("bad", "BAD", 0, len(text) + 1)]

    worked = 0.0

    def square(text: str) -> list[Finding]:
        nonlocal worked
        worked += (len(text) / 20_000) ** 2
        return []

    with pytest.raises(AssertionError, match="BAD at 0-5"):
        check_findings(outside, "text")
    with pytest.raises(AssertionError, match="characters of 'ab'"):
        check_linear_time(square, "ab", clock=lambda: worked)
