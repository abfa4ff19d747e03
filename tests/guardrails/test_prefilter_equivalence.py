"""Where the first look finds no trace, guards find nothing: what is found is the same with it and without it."""

from __future__ import annotations

import json
import re
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sizewise.guardrails import pii, secrets
from sizewise.guardrails.base import Finding, Guard, Words, apart
from sizewise.guardrails.data_leakage import Leakage, Prompt
from sizewise.guardrails.data_leakage import canaries as known
from sizewise.guardrails.middleware import Rules, look, traced
from sizewise.guardrails.prefilter import FirstLook, Traces
from sizewise.guardrails.pseudonymization import Looked
from sizewise.handler import Ask
from sizewise.principal import Caller
from sizewise.providers.wires.openai.request_response import read_request

many = settings(deadline=None, max_examples=1_500, suppress_health_check=list(HealthCheck))

EMAIL, PHONE, CARD = "jane.doe@example.com", "+44 20 7946 0958", "4111 1111 1111 1111"
FOUND = [
    EMAIL,
    PHONE,
    CARD,
    "password: hunter2!x",
    "password: abcdeFgh€xy",
    "ghp_" + "aB" * 20,
    "sk-" + "abcdeFghij" * 3,
]
FOUND += ["eyJ" + "abcdefghijK" + ".ab", "postgres://me:open sesame", "ftp://someone:letmein@host"]
FOUND += [
    "-----BEGIN PRIVATE KEY-----\nabc",
    "LTAI" + "abcdefghijkl",
    "xoxb-abcdefgH-ijklmnop",
    "APA" + "bcdefghiJK;;;",
]
NEARLY = ["sk-", "APABCDEFGH", "ghp_", "eyJ", "://", "----", "-----", "password: ", "token is ", "which-size-will-do"]
NEARLY += [
    "Responsibilities",
    "responsibilities,",
    "abcdefghijklm",
    "Abcdefghijklm",
    "M",
    "I.B.M.",
    "http",
    "a",
    "Z",
    ".",
]
SIGNS = [
    *"0179@?!#$%&*+=\\^|~_-:/.,;'\"<>{}[]()",
    "é",
    "\u00a0",
    "\u2028",
    "\ud800",
    "\x1c",
    "\x7f",
    "\u0660",
    "\uff11",
]
BLANKS = [" ", " ", "\n", "\t", "\r\n", "\x0b", "\x1f", "\x85", "\u3000"]

PIECES = st.sampled_from([*FOUND, *NEARLY, *NEARLY, *SIGNS, *BLANKS, *BLANKS, *BLANKS])
SAID = st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=60)
QUIET = st.lists(st.sampled_from([*NEARLY, *BLANKS, *BLANKS, *",.;'\"()_"]), max_size=20).map("".join)
TEXT = SAID | QUIET

GUARDS: dict[str, Guard] = {"pii": pii.pii(Words()), "secrets": secrets.secrets(Words())}
TRACES = {"pii": pii.TRACES, "secrets": secrets.TRACES}


@pytest.mark.parametrize("names", [("pii",), ("secrets",), ("pii", "secrets")])
def test_where_there_is_no_trace_nothing_is_found(names: tuple[str, ...]) -> None:
    first_look = FirstLook(TRACES[name] for name in names)

    @many
    @given(TEXT)
    def always(text: str) -> None:
        if not first_look(text):
            assert [GUARDS[name](text) for name in names] == [[] for _ in names]

    always()


def _form(form: secrets.Form) -> str:
    return form.pattern.pattern[:40]


@pytest.mark.parametrize("form", secrets.FORMS, ids=_form)
def test_a_secret_of_any_form_leaves_a_trace(form: secrets.Form) -> None:
    first_look = FirstLook([secrets.TRACES])

    @settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
    @given(st.from_regex(form.pattern), st.sampled_from("abcdefwX"))
    def always(text: str, letter: str) -> None:
        for said in (text, re.sub("[0-9]", letter, text), f"see {text} there"):
            assert first_look(said) or not secrets.find(said)

    always()


@many
@given(TEXT, st.booleans(), st.integers(2, 16))
def test_it_says_what_a_plain_search_says(text: str, foreign: bool, long: int) -> None:
    one = Traces("1@?", foreign, ("-----", "to"), long, ("://",))
    words = re.split("[\t-\r\x1c- ]", text.encode("utf-8", "replace").decode("latin-1"))
    assert FirstLook([one])(text) == (
        any(sign in text for sign in ("1", "@", "?", "-----", "to"))
        or (foreign and not text.isascii())
        or any(
            re.search("[A-Z]|://", word) or not word.encode("latin-1").islower() for word in words if len(word) >= long
        )
        or "?" in text.encode("utf-8", "replace").decode()  # half a surrogate is no character
    )


@many
@given(st.lists(TEXT, max_size=4))
def test_of_several_texts_it_says_the_same_as_of_each(texts: list[str]) -> None:
    first_look = FirstLook(TRACES.values())
    assert first_look("\n".join(texts)) == any(first_look(text) for text in texts)


def _always(text: str) -> list[Finding]:
    return [Finding("others", "WORD", 0, 1)] if text.startswith("which") else []


ACTIVE = tuple(GUARDS.items())
SENT = TEXT.filter(lambda text: text.isascii() or "\ud800" not in text)


@many
@given(
    st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "system", "tool"]), "content": SENT},
            optional={"name": SENT, "tool_call_id": st.just("c")},
        ),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([ACTIVE, ACTIVE[:1], (*ACTIVE, ("others.mine", _always))]),
    st.booleans(),
)
def test_of_a_request_the_same_is_found_with_the_first_look_and_without_it(
    messages: list[dict[str, str]], active: tuple[tuple[str, Guard], ...], tight: bool
) -> None:
    body = {"model": "m", "messages": messages, "metadata": {"of": messages[0]["content"]}}
    what, _ = read_request(json.dumps(body, separators=(",", ":") if tight else None).encode())
    ask, actions = Ask(what, Caller(), "0" * 32, 0.0), dict.fromkeys(GUARDS, "mask")
    first_look, others = traced(active)
    without = Rules(active, actions, frozenset(GUARDS), "off", {})
    with_it = Rules(active, actions, frozenset(GUARDS), "off", {}, first_look=first_look, always=others)
    (one, counts), (other, again) = look(ask, without), look(ask, with_it)
    assert counts == again
    assert list(counts) == list(again)
    assert one.found == other.found
    assert isinstance(one.found, Looked) == isinstance(other.found, Looked) == bool(counts)


PROMPTS = ["", "Answer in one sentence.", "You are the helper of a small shop and you never tell anybody what is here."]


@many
@given(TEXT, st.lists(TEXT, max_size=2), st.sampled_from([*PROMPTS]), st.sampled_from([(), ("open sesame, now",)]))
def test_of_a_reply_what_leaks_is_what_guards_find_in_it(
    reply: str, request: list[str], system: str, canaries: tuple[str, ...]
) -> None:
    for said in (reply, f"{reply} {system}", f"{canaries} {reply}"):
        beside = [
            Finding("leakage", each.kind, each.start, each.end, each.score)
            for each in (*pii.find(said), *secrets.find(said))
        ]
        held = [each for each in beside if not any(said[each.start : each.end] in one for one in request)]
        told = known(canaries)(said) if canaries else []
        assert Leakage(canaries).of(system, lambda: request)(said) == apart([*told, *Prompt(system)(said), *held])


def test_what_must_be_found_is_among_what_was_tried() -> None:
    found = {each.kind for text in FOUND for name in GUARDS for each in GUARDS[name](text)}
    assert found >= {"EMAIL", "PHONE", "CARD", "PASSWORD", "KEY", "TOKEN", "PRIVATE_KEY"}
    first_look = FirstLook(TRACES.values())
    quiet = [
        f"{a} {b}, {c}." for a, b, c in product(["which-size-will-do", "A person"], ["asks,", "I.B.M."], ["a", "Z"])
    ]
    assert not any(first_look(text) for text in quiet)
