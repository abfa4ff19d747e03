"""Stage of an agent's turn, and whether its tool loop has stalled, read from the messages alone; asks no model.

A tool loop is everything after the last user message; one that tells an agent behind its results to answer is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Literal

import msgspec
from msgspec import Struct

from sizewise.messages import ChatRequest, Message

TurnStage = Literal["plan", "tool result", "repair", "final"]
FAILED = ("error", "traceback (most recent call last)")
"""How the text of a tool that failed begins, in lower case; as our own agents and the Messages API say it."""
SAME_CALLS = 2
"""A call with equal arguments and an equal result, made so often: the loop has learned nothing by it."""
FAILURES = 3
"""Rounds in a row in which every tool failed."""


class AgentTurn(Struct, frozen=True):
    """One request of an agent. `number`: of this turn in its loop, from 1. `stalled`: why; empty: it moves on.

    plan         the first turn after the user has spoken
    tool result  tools have answered
    repair       the last tools failed
    final        no more calls are allowed: the answer
    """

    stage: TurnStage
    number: int
    stalled: str = ""


def agent_turn(chat: ChatRequest) -> AgentTurn | None:
    """None for a chat without tools."""
    loop = chat.messages[loop_start(chat) :]
    rounds = [each for each in loop if each.role == "assistant" and each.tool_calls]
    if not chat.tools and not rounds:
        return None
    last = _last_results(loop)
    stage: TurnStage = "plan"
    if rounds and (not chat.tools or _forbids_calls(chat)):
        stage = "final"
    elif last:
        stage = "repair" if any(map(_has_failed, last)) else "tool result"
    return AgentTurn(stage, len(rounds) + 1, _stall(loop))


def loop_start(chat: ChatRequest) -> int:
    """Place of the first message after the last user message; 0 if the user has not spoken."""
    messages, end = chat.messages, len(chat.messages)
    if end > 1 and messages[-1].role == "user" and messages[-2].role == "tool" and _forbids_calls(chat):
        end -= 1
    return next((place + 1 for place in range(end - 1, -1, -1) if messages[place].role == "user"), 0)


def is_in_loop(chat: ChatRequest) -> bool:
    """Whether a model has called tools since the user spoke."""
    return any(each.tool_calls for each in chat.messages[loop_start(chat) :])


def loop_key(chat: ChatRequest) -> bytes | None:
    """The same for every turn of one tool loop, and of no other; None for a chat without tools."""
    start = loop_start(chat)
    if not start or not (chat.tools or is_in_loop(chat)):
        return None
    return blake2b(msgspec.json.encode((chat.model, chat.messages[:start])), digest_size=16).digest()


def _last_results(loop: Sequence[Message]) -> list[Message]:
    found: list[Message] = []
    for each in reversed(loop):
        if each.role != "tool":
            break
        found.append(each)
    return found


def _has_failed(result: Message) -> bool:
    return result.text.lstrip().lower().startswith(FAILED)


def _forbids_calls(chat: ChatRequest) -> bool:
    return bytes(chat.fields.get("tool_choice", b"")) == b'"none"'


def _stall(loop: Sequence[Message]) -> str:
    results = {each.tool_call_id: each.text for each in loop if each.role == "tool"}
    made: dict[tuple[str, str, str], int] = {}
    failures = 0
    for each in loop:
        calls = each.tool_calls or ()
        for call in calls:
            if call.function is None or call.id not in results:
                continue
            same = (call.function.name, _canonical(call.function.arguments), results[call.id])
            made[same] = made.get(same, 0) + 1
            if made[same] >= SAME_CALLS:
                return f"the same call of {call.function.name[:64]!r} brought the same again"
        if calls:
            failures = failures + 1 if _all_failed((call.id for call in calls), results) else 0
            if failures >= FAILURES:
                return f"all tools failed in {failures} turns in a row"
    return ""


def _all_failed(calls: Iterable[str | None], results: dict[str | None, str]) -> bool:
    found = [results[call] for call in calls if call in results]
    return bool(found) and all(text.lstrip().lower().startswith(FAILED) for text in found)


def _canonical(arguments: str) -> str:
    """Arguments without regard to spaces and the order of keys."""
    try:
        return msgspec.json.encode(msgspec.json.decode(arguments), order="deterministic").decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return arguments
