"""Where the first look finds no trace, guards find nothing: what is found is the same with it and without it."""

from __future__ import annotations

import json
import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizewise.guardrails import pii, secrets
from sizewise.guardrails.base import Finding, Guard, GuardConfig, merge_overlaps
from sizewise.guardrails.data_leakage import DataLeakageGuard, SystemPromptMatcher
from sizewise.guardrails.data_leakage import canary_guard as known
from sizewise.guardrails.middleware import GuardrailRules, scan_request, split_prefiltered
from sizewise.guardrails.prefilter import Prefilter, PrefilterSigns
from sizewise.guardrails.pseudonymization import ScanFindings
from sizewise.handler import Request
from sizewise.principal import Principal
from sizewise.providers.wires.openai.request_response import read_request
from tests.properties import examples, tried_with_all

pytestmark = tried_with_all
many = examples(1_500)

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

GUARDS: dict[str, Guard] = {"pii": pii.pii_guard(GuardConfig()), "secrets": secrets.secrets_guard(GuardConfig())}
TRACES = {"pii": pii.PREFILTER_SIGNS, "secrets": secrets.PREFILTER_SIGNS}


@pytest.mark.parametrize("names", [("pii",), ("secrets",), ("pii", "secrets")])
def test_where_there_is_no_trace_nothing_is_found(names: tuple[str, ...]) -> None:
    first_look = Prefilter(TRACES[name] for name in names)

    @many
    @given(TEXT)
    def always(text: str) -> None:
        if not first_look(text):
            assert [GUARDS[name](text) for name in names] == [[] for _ in names]

    always()


def _form(form: secrets.SecretPattern) -> str:
    return form.pattern.pattern[:40]


@pytest.mark.long
@pytest.mark.parametrize("form", secrets.SECRET_PATTERNS, ids=_form)
def test_a_secret_of_any_form_leaves_a_trace(form: secrets.SecretPattern) -> None:
    first_look = Prefilter([secrets.PREFILTER_SIGNS])

    @examples(60)
    @given(st.from_regex(form.pattern), st.sampled_from("abcdefwX"))
    def always(text: str, letter: str) -> None:
        for said in (text, re.sub("[0-9]", letter, text), f"see {text} there"):
            assert first_look(said) or not secrets.find_secrets(said)

    always()


@many
@given(TEXT, st.booleans(), st.integers(2, 16))
def test_it_says_what_a_plain_search_says(text: str, foreign: bool, long: int) -> None:
    one = PrefilterSigns("1@?", foreign, ("-----", "to"), long, ("://",))
    words = re.split("[\t-\r\x1c- ]", text.encode("utf-8", "replace").decode("latin-1"))
    assert Prefilter([one])(text) == (
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
    first_look = Prefilter(TRACES.values())
    assert first_look("\n".join(texts)) == any(first_look(text) for text in texts)


def _always(text: str) -> list[Finding]:
    return [Finding("others", "WORD", 0, 1)] if text.startswith("which") else []


ACTIVE = tuple(GUARDS.items())
SENT = TEXT.filter(lambda text: text.isascii() or "\ud800" not in text)


@pytest.mark.long
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
    messages: list[dict[str, str]],
    active: tuple[tuple[str, Guard], ...],
    tight: bool,
) -> None:
    body = {"model": "m", "messages": messages, "metadata": {"of": messages[0]["content"]}}
    what, _ = read_request(json.dumps(body, separators=(",", ":") if tight else None).encode())
    request, actions = Request(what, Principal(), "0" * 32, 0.0), dict.fromkeys(GUARDS, "mask")
    first_look, others = split_prefiltered(active)
    without = GuardrailRules(active, actions, frozenset(GUARDS), "off", {})
    with_it = GuardrailRules(active, actions, frozenset(GUARDS), "off", {}, prefilter=first_look, unfiltered=others)
    (one, counts), (other, again) = scan_request(request, without), scan_request(request, with_it)
    assert counts == again
    assert list(counts) == list(again)
    assert one.scan == other.scan
    assert isinstance(one.scan, ScanFindings) == isinstance(other.scan, ScanFindings) == bool(counts)


PROMPTS = ["", "Answer in one sentence.", "You are the helper of a small shop and you never tell anybody what is here."]


@many
@given(TEXT, st.lists(TEXT, max_size=2), st.sampled_from([*PROMPTS]), st.sampled_from([(), ("open sesame, now",)]))
def test_of_a_reply_what_leaks_is_what_guards_find_in_it(
    reply: str,
    request: list[str],
    system: str,
    canaries: tuple[str, ...],
) -> None:
    for said in (reply, f"{reply} {system}", f"{canaries} {reply}"):
        beside = [
            Finding("leakage", each.kind, each.start, each.end, each.score)
            for each in (*pii.find_pii(said), *secrets.find_secrets(said))
        ]
        held = [each for each in beside if not any(said[each.start : each.end] in one for one in request)]
        told = known(canaries)(said) if canaries else []
        assert DataLeakageGuard(canaries).for_request(system, lambda: request)(said) == merge_overlaps(
            [*told, *SystemPromptMatcher(system)(said), *held],
        )


def test_what_must_be_found_is_among_what_was_tried() -> None:
    found = {each.kind for text in FOUND for name in GUARDS for each in GUARDS[name](text)}
    assert found >= {"EMAIL", "PHONE", "CARD", "PASSWORD", "KEY", "TOKEN", "PRIVATE_KEY"}
    first_look = Prefilter(TRACES.values())
    quiet = [
        f"{a} {b}, {c}." for a, b, c in product(["which-size-will-do", "A person"], ["asks,", "I.B.M."], ["a", "Z"])
    ]
    assert not any(first_look(text) for text in quiet)
