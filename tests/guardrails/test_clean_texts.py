"""A long text that was clean in one turn is not scanned again in the next, and nothing is found less for it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from sizewise.guardrails import pii, secrets
from sizewise.guardrails.base import Finding, Guard, GuardConfig
from sizewise.guardrails.clean_texts import MAX_TEXTS, MIN_CHARS, CleanTexts
from sizewise.guardrails.middleware import (
    LONG_TEXT_BYTES,
    GuardrailRules,
    find_in_request,
    find_in_short_request,
    split_prefiltered,
)
from sizewise.messages import ChatRequest
from sizewise.providers.wires.openai.request_response import read_request
from tests.properties import examples, tried_with_all

pytestmark = tried_with_all

GUARDS: dict[str, Guard] = {"pii": pii.pii_guard(GuardConfig()), "secrets": secrets.secrets_guard(GuardConfig())}
CLEAN = "We met in 1999 and talked for 20 minutes about the weather in Paris. "
FOUND = "Write to jane.doe@example.com. "
TEXT = st.builds(
    lambda body, times, end: body * times + end,
    st.sampled_from((CLEAN, FOUND, "nothing at all, ", "Is it 5? ")),
    st.sampled_from((1, 20, 80)),
    st.sampled_from(("", "a", FOUND)),
)


def rules(guards: dict[str, Guard]) -> GuardrailRules:
    active = tuple(guards.items())
    prefilter, unfiltered = split_prefiltered(active)
    return GuardrailRules(active, {}, frozenset({"pii"}), "off", {}, prefilter=prefilter, unfiltered=unfiltered)


def asking(*texts: str) -> ChatRequest:
    messages = [{"role": "user", "content": text} for text in texts]
    return read_request(json.dumps({"model": "m", "messages": messages}).encode())[0]


@examples(60)
@given(st.lists(TEXT, min_size=1, max_size=6))
def test_each_turn_finds_what_it_would_find_alone(texts: list[str]) -> None:
    remembering = rules(GUARDS)
    for turn in range(1, len(texts) + 1):
        asked = asking(*texts[:turn])
        assert find_in_request(asked, remembering) == find_in_request(asked, rules(GUARDS))


def test_only_the_new_turn_of_a_conversation_is_scanned() -> None:
    scanned: list[str] = []

    def guard(text: str) -> list[Finding]:
        scanned.append(text)
        return [Finding("own", "WORD", 0, 1)] if text.startswith("!") else []

    one = rules({"own": guard})
    system, flagged = CLEAN * 40, "!" + CLEAN * 40
    find_in_request(asking(system), one)
    find_in_request(asking(system, flagged), one)
    find_in_request(asking(system, flagged, "short"), one)
    assert scanned == [system, flagged, flagged, "short"]


def test_a_long_conversation_needs_no_worker_once_it_was_clean() -> None:
    one, long = rules(GUARDS), CLEAN * (LONG_TEXT_BYTES // len(CLEAN) + 1)
    assert find_in_short_request(asking(long), one) is None
    assert find_in_request(asking(long), one) == ({}, {})
    assert find_in_short_request(asking(long, "And then?"), one) == ({}, {})
    found = find_in_short_request(asking(long, FOUND), one)
    assert found is not None and found[0] == {("pii", "EMAIL"): 1}


def test_the_memory_has_a_bound() -> None:
    memory = CleanTexts()
    first = "x" * MIN_CHARS
    memory.add([first])
    for number in range(MAX_TEXTS):
        memory.add([f"{number} {first}"])
    assert memory.without([first]) == [first]
    assert memory.without([f"{MAX_TEXTS - 1} {first}"]) == []
