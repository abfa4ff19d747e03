"""Replies in a language nobody asked in, calls nobody can make, code that is none: objected to when that is sure."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sizewise.handler import Request, Send, TextDelta
from sizewise.messages import Choice, FunctionCall, Reply, ToolCall, Usage
from sizewise.routing.answer_format import AnswerFormat
from sizewise.routing.judges.calls import calls
from sizewise.routing.judges.chain import JudgeChain
from sizewise.routing.judges.code import code
from sizewise.routing.judges.language import language
from sizewise.routing.policy import RequestFeatures, Verdict
from sizewise.routing.text.language_detection import detect_language, languages_differ, mentions_language
from tests.forked import ROOT
from tests.routing.router_harness import LARGE, SMALL, Routing, chat

FINE = Verdict(None, "")
GERMAN = "Der Eiffelturm ist 330 Meter hoch, und das ist mit den Antennen."
ENGLISH = "The Eiffel tower is 330 metres high, and that is with the antennas."


def answer(text: str = "", *made: ToolCall) -> tuple[Reply, ...]:
    return (Reply((Choice(0, text, "stop", made),), Usage(1, 1)),)


def question(text: str = "Wie hoch ist der Eiffelturm?", **body: object) -> RequestFeatures:
    asked = chat(text, "auto", **body)
    return RequestFeatures(10, tools=asked.tools, schema=asked.schema, answer_format=AnswerFormat(asked))


# ---- the language


@pytest.mark.parametrize(
    ("asked", "replied", "why"),
    [
        ("Wie hoch ist der Eiffelturm?", ENGLISH, "(en, de)"),
        ("What is the height of the Eiffel tower?", GERMAN, "(de, en)"),
        ("What is the height of the Eiffel tower?", "埃菲尔铁塔高三百三十米。", "(zh, en)"),
        ("Какой высоты Эйфелева башня?", ENGLISH, "(en, cyrillic)"),
        ("エッフェル塔の高さはどのくらいですか？", ENGLISH, "(en, ja)"),
        ("<system-reminder>Today is Monday.</system-reminder>Wie hoch ist der Eiffelturm?", ENGLISH, "(en, de)"),
    ],
)
def test_a_reply_in_another_language_is_objected_to(asked: str, replied: str, why: str) -> None:
    verdict = language(question(asked), answer(replied))
    assert verdict.score == 0 and why in verdict.why


@pytest.mark.parametrize(
    ("asked", "replied"),
    [
        ("Wie hoch ist der Eiffelturm?", GERMAN),
        ("Wie hoch ist der Eiffelturm?", "330 m"),
        ("Wie hoch ist der Eiffelturm? Antworte auf Englisch.", ENGLISH),
        ("What is the French for 'the tower is high'?", "La tour est haute, et elle est dans la ville."),
        ("Translate into Hungarian what you know of the tower.", GERMAN),
        ("What is the meaning of „wie hoch ist der Turm“?", GERMAN),
        ("Was ist das: the height of the tower is what we are asked for", ENGLISH),
        ("Mach daraus eine Frage, die ich stellen kann:\nthe height of the tower", ENGLISH),
        ("Eiffel", ENGLISH),
        ("Que altura ten a torre Eiffel e por que é tan alta?", "La torre es alta porque los que la hicieron lo son."),
        (" ".join(["Wie hoch ist der Eiffelturm und warum?"] * 20), ENGLISH),
        (
            "Wie sortiere ich eine Liste und was ist der Aufwand?",
            "```python\n# for the list that is in what we have\n```",
        ),
    ],
)
def test_where_one_of_them_is_not_sure_nobody_objects(asked: str, replied: str) -> None:
    assert language(question(asked), answer(replied)) == FINE


def test_a_conversation_tells_what_is_expected() -> None:
    asked = {"role": "user", "content": "Wie hoch ist der Eiffelturm?"}
    told = {"role": "system", "content": "You are kind. Always answer in English."}
    before = [{"role": "user", "content": "How are you, and what is new?"}, {"role": "assistant", "content": ENGLISH}]
    for messages in ([told, asked], [*before, asked]):
        assert language(question(messages=messages), answer(ENGLISH)) == FINE
    plain = {"role": "system", "content": "You are the assistant of a shop that sells towers."}
    assert language(question(messages=[plain, asked]), answer(ENGLISH)).score == 0


def test_json_and_calls_are_in_no_language() -> None:
    asked = question(response_format={"type": "json_object"})
    assert language(asked, answer(ENGLISH)) == FINE
    assert language(question(), answer(ENGLISH, ToolCall(FunctionCall("look", "{}")))) == FINE


@pytest.mark.parametrize(
    "text",
    ["in French", "auf Deutsch", "en español", "по-русски", "日本語で", "用中文", "영어로", "Übersetze das", "traduis"],
)
def test_speaking_of_languages_is_seen(text: str) -> None:
    assert mentions_language(text)


@pytest.mark.parametrize("text", ["How big is Germany?", "Deutschland", "a formula", "Thailand", ""])
def test_countries_are_no_languages(text: str) -> None:
    assert not mentions_language(text)


@given(some.text(max_size=200), some.text(max_size=200))
def test_any_text_has_a_language_or_none(one: str, other: str) -> None:
    assert languages_differ(detect_language(one), detect_language(other)) == languages_differ(
        detect_language(other),
        detect_language(one),
    )
    assert not languages_differ(detect_language(one), detect_language(one))


# ---- calls

LOOK = {
    "type": "function",
    "function": {
        "name": "look",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["place"],
            "additionalProperties": False,
        },
    },
}
BARE = {"type": "function", "function": {"name": "now"}}


def called(name: str, arguments: str, *tools: object) -> Verdict:
    return calls(question(tools=list(tools)), answer("", ToolCall(FunctionCall(name, arguments), "1")))


@pytest.mark.parametrize(
    ("name", "arguments", "why"),
    [
        ("gaze", "{}", "not offered"),
        ("Look", '{"place": "Oslo"}', "not offered"),
        ("look", "{}", "schema (required)"),
        ("look", "", "schema (required)"),
        ("look", '{"place": 4}', "schema (type)"),
        ("look", '{"place": "Oslo", "secret": 1}', "schema (additionalProperties)"),
        ("look", "{", "schema (json)"),
    ],
)
def test_a_call_that_cannot_be_made_is_objected_to(name: str, arguments: str, why: str) -> None:
    verdict = called(name, arguments, LOOK, BARE)
    assert verdict.score == 0 and why in verdict.why
    assert "gaze" not in verdict.why and "secret" not in verdict.why  # a model's words are not for the books


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("look", '{"place": "Oslo", "days": 2}'), ("now", ""), ("now", '{"any": 1}')],
)
def test_a_call_that_can_be_made_is_not(name: str, arguments: str) -> None:
    assert called(name, arguments, LOOK, BARE) == FINE


def test_where_nobody_can_tell_nobody_objects() -> None:
    assert called("search", "{}", LOOK, {"type": "web_search"}) == FINE  # it may bring functions of its own
    assert called("look", "{}") == FINE
    assert calls(RequestFeatures(1, tools=True), answer("", ToolCall(FunctionCall("look", "{}")))) == FINE
    odd_ones: tuple[object, ...] = ({"$ref": "https://elsewhere.example/s"}, {"type": "nonsense"}, [], 7, {"$ref": "#"})
    for schema in (*odd_ones, {}, None):
        odd = {"type": "function", "function": {"name": "look", "parameters": schema}}
        assert called("look", "{}", odd) == FINE
    custom = ToolCall(None, "1", "custom")
    assert calls(question(tools=[LOOK]), answer("", custom)) == FINE


# ---- code


def block(kind: str, text: str) -> tuple[Reply, ...]:
    return answer(f"Here it is:\n\n```{kind}\n{text}\n```\nThat is all.")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("python", "def add(a, b)\n    return a + b"),
        ("python", "for x in range(3):\nprint(x)"),
        ("Py", "x = (1,"),
        ("python", "x = 1\0"),
        ("json", '{"a": 1,}'),
        ("json", "{'a': 1}"),
        ("json", '{"a": 1, ...}'),
    ],
)
def test_code_that_is_none_is_objected_to(kind: str, text: str) -> None:
    assert code(question(), block(kind, text)).score == 0


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("python", "def add(a, b):\n    return a + b"),
        ("python", "    return await add(1, 2)"),
        ("python", 'print("\\d")'),
        ("python", ">>> 1 +\n... 2\n3"),
        ("python", "%pip install x\n!ls"),
        ("json", '{"a": [1, 2.5e3, null]}'),
        ("json", '{"a": 1}\n{"a": 2}'),
        ("json", ""),
        ("text", "def add(a, b)"),
        ("", "{,}"),
        ("jsonc", "{} // empty"),
        ("rust", "fn main() {}"),
    ],
)
def test_code_that_may_be_right_is_left_alone(kind: str, text: str) -> None:
    assert code(question(), block(kind, text)) == FINE


COLLECTED = """
import ast, gc
from sizewise.messages import Choice, Reply, Usage
from sizewise.routing.judges.code import code
from sizewise.routing.policy import RequestFeatures

class Prints:
    def __init__(self):
        self.itself = self
    def __del__(self):
        Prints()  # for the next collection
        ast.parse("-" * 50 + "1")  # as the printing of a traceback does

text = "```python\\n" + "[x + 1 for x in (1, 2, 3)]\\n" * 20 + "```"
gc.set_threshold(7)
for _ in range(100):
    Prints()
    assert code(RequestFeatures(10), (Reply((Choice(0, text, "stop"),), Usage(1, 1)),)).score is None
"""


def test_good_code_passes_while_the_garbage_collector_prints_a_traceback() -> None:
    """On Python 3.11 it was a SystemError, and so a 500. A process of its own: it must collect often."""
    done = subprocess.run([sys.executable, "-c", COLLECTED], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_blocks_in_lists_and_longer_fences_are_read_as_markdown_reads_them() -> None:
    assert code(question(), answer("1. First\n\n   ```python\n   def f():\n       return 1\n   ```\n")) == FINE
    assert code(question(), answer("````markdown\n```python\ndef f(\n```\n````\n")) == FINE
    assert code(question(), answer("```python\ndef f(\n")) == FINE  # never closed: cut, and others say so
    assert code(question(), answer("~~~python\ndef f(\n~~~\n")).score == 0


def test_what_the_person_sent_is_not_the_reply_s_fault() -> None:
    broken = "def add(a, b)\n    return a + b"
    assert code(question(f"What is wrong here?\n{broken}"), block("python", broken)) == FINE


@pytest.mark.parametrize("unit", ["(", "[", "-", "not ", "x.", "f(", "lambda:", "a if b else ", "{1:", "f'{", "x:=("])
def test_code_made_to_hurt_its_reader_does_not(unit: str) -> None:
    for closing in ("", "1", "1" + ")" * 400):
        assert code(question(), block("python", unit * (9_000 // len(unit)) + closing)).score in (0, None)
    assert code(question(), block("json", "[" * 9_000)).score in (0, None)
    assert code(question(), answer("```x\n" * 20_000)) == FINE
    assert code(question(), block("python", "(" * 1_000_000)) == FINE


# ---- all together


async def test_an_objection_sends_the_question_up() -> None:
    async def foreign(request: Request, send: Send) -> Reply:
        await send(TextDelta(0, ENGLISH))
        return Reply((Choice(0, ENGLISH, "stop"),), Usage(1, 1), SMALL.name)

    routing = Routing(SMALL, LARGE, judge=JudgeChain((language,)), others={SMALL.name: foreign})
    await routing.ask(chat("Wie hoch ist der Eiffelturm?"))
    assert routing.client.results == [(SMALL.name, "distrusted"), (LARGE.name, "answered")]
