"""The cheap looks that spare the dear ones miss nothing: what a pattern finds, its first look has let through."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizewise.errors import SizewiseError
from sizewise.guardrails import hidden_text, pii, secrets
from sizewise.guardrails.base import Finding, Guard
from sizewise.guardrails.json_text import decode_json, json_texts
from sizewise.guardrails.long_words import long_words
from sizewise.guardrails.masking import MaskingConnector
from sizewise.guardrails.middleware import GuardrailRules, scan_request
from sizewise.guardrails.middleware import request_texts as request_words
from sizewise.guardrails.prompt_injection_features import WORD, tokenize_words
from sizewise.handler import Request
from sizewise.principal import Principal
from sizewise.providers.wires.openai.request_response import read_request
from tests.properties import examples, tried_with_all

pytestmark = tried_with_all
few = examples(40)


def named(form: pii.PiiPattern) -> str:
    return f"{form.kind} {form.pattern.pattern[:40]}"


@pytest.mark.long
@pytest.mark.parametrize("form", pii.PII_PATTERNS, ids=named)
def test_what_a_form_finds_its_drawing_lets_through(form: pii.PiiPattern) -> None:
    @few
    @given(st.from_regex(form.pattern))
    def always(text: str) -> None:
        found = next((each for each in form.pattern.finditer(text) if each.group().isascii()), None)
        if found is not None:
            drawn, low = pii.text_shape(text), text.lower()
            assert any(each in drawn for each in form.shapes)
            assert low.count(form.marker or " ") >= form.marker_count or not form.marker
            if text.isascii() and form.keywords:
                spans = [each.span() for each in form.pattern.finditer(text)]
                assert [each.span() for each in pii.keyword_matches(form, low, text, 0, len(text))] == spans

    always()


@few
@given(st.text(st.sampled_from("ab01 :.-\n\u00a0é"), max_size=80))
def test_what_is_set_apart_letter_by_letter_is_looked_into(text: str) -> None:
    plainly = max(map(len, text.split()), default=0) >= 15 or hidden_text.SHORT_TOKENS.search(text) is not None
    assert hidden_text.may_be_encoded(text) == plainly


@given(st.one_of(st.text(st.sampled_from('aB1 -<#."\n'), max_size=80), st.text(max_size=40)))
def test_words_are_those_that_the_pattern_finds(text: str) -> None:
    assert tokenize_words(text) == WORD.findall(text)


@few
@given(st.sampled_from(hidden_text.ENCODINGS), st.data())
def test_what_is_in_code_its_first_look_lets_through(code: hidden_text.Encoding, data: st.DataObject) -> None:
    text = data.draw(st.from_regex(code[1]))
    assert code[1].search(text) is None or code[0](text)


@given(st.text(st.sampled_from("abcdefgh \n\t\u00a0é"), max_size=200))
def test_long_words_are_those_that_splitting_finds(text: str) -> None:
    assert long_words(text, 6).split(" ") == [
        each for each in re.split(r"[ \n\t]", text) if len(each.encode()) >= 6
    ] or not long_words(text, 6)


def test_a_sign_that_is_a_letter_only_without_case_is_no_number_and_no_error() -> None:
    assert pii.find_pii("\u212aBCDEF12A34B567C and \u017f12345678Z") == []


def test_a_secret_behind_a_space_that_does_not_break_is_found() -> None:
    said = "access with\u00a0ghp_1234567890abcdefghijABCDEFGHIJ123456 only"
    assert [said[each.start : each.end] for each in secrets.find_secrets(said)] == [
        "ghp_1234567890abcdefghijABCDEFGHIJ123456",
    ]


def test_a_request_that_was_looked_at_is_not_looked_at_again_by_its_attempts() -> None:
    seen: list[str] = []

    def counted(text: str) -> list[Finding]:
        seen.append(text)
        return pii.find_pii(text)

    guards: dict[str, Guard] = {"pii": counted}
    what, _ = read_request(b'{"model": "a/b", "messages": [{"role": "user", "content": "mail jane@example.com"}]}')
    rules = GuardrailRules((("pii", counted),), {"pii": "mask"}, frozenset({"pii"}), "off", {})
    asked, _ = scan_request(Request(what, Principal(), "0" * 32, 0.0), rules)
    masking = MaskingConnector(lambda card: pytest.fail("nobody is asked"), "machine", guards, frozenset({"pii"}))
    before = len(seen)
    there, back = masking.mask_request(asked)
    assert len(seen) == before
    assert b"<EMAIL_1>" in bytes(there.fields["messages"])
    assert back is not None
    assert back.values == {"EMAIL_1": "jane@example.com"}


PARTS = st.sampled_from(["words", "a@b.co", '"', "\\", "{", '{"a": "b c d"}', "[1]", "é", "\n", " "])
SAID = st.lists(PARTS, max_size=4).map("".join)
MESSAGE = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "system", "assistant"]),
        "content": SAID | st.none() | st.just([{"type": "text", "text": "in parts"}]),
    },
    optional={"name": SAID, "weight": st.just(4111111111111111), "refusal": st.none(), "odd key": SAID},
)


@examples(400)
@given(st.lists(MESSAGE, min_size=1, max_size=4), st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")]))
def test_messages_that_are_no_more_than_texts_are_read_as_such_and_no_others(
    messages: list[dict[str, object]],
    separators: tuple[str, str],
) -> None:
    body = json.dumps({"model": "m", "messages": messages}, separators=separators, ensure_ascii=False).encode()
    try:
        what, _ = read_request(body)
    except SizewiseError:
        return  # no request at all
    assert list(request_words(what)) == list(json_texts(decode_json(what.fields["messages"], "messages"), "messages"))
