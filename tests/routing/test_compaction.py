"""Excerpts of a conversation: within their bytes, in any script, with what answers said, and never with half a turn."""

from __future__ import annotations

from typing import Any

import pytest

from sizewise.routing.compaction import compact
from sizewise.routing.text.recall import rank
from tests.routing.router_harness import chat

Message = dict[str, Any]


def conversation(answer: str, turns: int = 30, question: str = "And now?") -> list[Message]:
    found: list[Message] = [{"role": "system", "content": "Be brief."}]
    for n in range(turns):
        found += [{"role": "user", "content": f"Question {n}?"}, {"role": "assistant", "content": f"{n}: {answer}"}]
    return [*found, {"role": "user", "content": question}]


@pytest.mark.parametrize("most", [1_000, 1_500, 3_000, 8_000])
@pytest.mark.parametrize(
    "answer", ["A sentence about ships. " * 20, "long" * 400, "船は港に着いた。" * 40, '"\\\n' * 200]
)
def test_a_compacted_conversation_keeps_its_size(answer: str, most: int) -> None:
    found = compact(chat(messages=conversation(answer)), most)
    assert found is not None and found.messages >= 2 and found.tokens > 0
    assert found.chat.prompt_bytes() <= most * 1.1  # quotes and line breaks are escaped
    roles = [each.role for each in found.chat.messages]
    assert roles[0] == "system" and roles[1] == "user" and roles[-1] == "user"


def test_a_system_message_of_an_older_turn_stays_an_instruction() -> None:
    messages = conversation("A sentence about ships. " * 20)
    messages.insert(3, {"role": "system", "content": "From now on answer in French."})
    found = compact(chat(messages=messages), 3_000)
    assert found is not None
    first, second, *others = found.chat.messages
    assert (first.role, first.text) == ("system", "Be brief.")
    assert second.role == "system" and second.text.startswith("From now on answer in French.\n\n[Compacted] ")
    assert second.text.count("French") == 1 and all(each.role != "system" for each in others)


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param(conversation("x", turns=0), id="no turn before"),
        pytest.param(conversation("x" * 50, question="y" * 5_000), id="a long question"),
        pytest.param([{"role": "system", "content": "Hi"}], id="no user"),
    ],
)
def test_what_has_no_older_turn_or_no_room_is_left_alone(messages: list[Message]) -> None:
    assert compact(chat(messages=messages), 2_000) is None


@pytest.mark.parametrize(
    ("question", "best"),
    [
        ("When is the invoice of Acme due?", 1),
        ("ロッカーの番号は何ですか", 2),
        ("Wie heißt der Hafenmeister?", 3),
        ("????", None),
        ("", None),
    ],
)
def test_a_question_finds_the_passage_with_its_rare_words(question: str, best: int | None) -> None:
    passages = ["The ship is in the harbour.", "The invoices of Acme are due on 3 May.", "ロッカーは四七一一番です。",
                "Der Hafenmeister heißt Jansen.", "The crew is due to eat."]  # fmt: skip
    assert next(iter(rank(passages, question)), None) == best
