"""Languages as eligibility: whose facts list the question's language answers; detected only where models differ."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from sizewise.messages import ChatRequest
from sizewise.model_card import ModelCard
from sizewise.money import FREE
from sizewise.providers.echo import echo_card
from sizewise.routing.constraints import eligible_models
from sizewise.routing.data_policy import DataPolicy
from sizewise.routing.explain import RoutingDecision, explain
from sizewise.routing.model_aliases import ModelAliases, RoutePlan
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.requirements import requirements_of
from sizewise.routing.router import always_healthy
from tests.routing.router_harness import Routing, asking, chat

pytest.importorskip("pycld2")

ENGLISH = replace(
    echo_card("echo/small", parameters=135_000_000, price=FREE, logprobs=True), languages=frozenset({"en"})
)
UNKNOWN = echo_card("echo/large", parameters=1_500_000_000, price=FREE)
MANY = replace(UNKNOWN, languages=frozenset({"en", "zh", "ja", "hi", "ar", "sv", "de", "fr"}))
QUESTIONS = {
    "zh": "请用中文解释一下为什么天空是蓝色的。",
    "hi": "आसमान नीला क्यों होता है, कृपया समझाइए।",
    "ar": "لماذا السماء زرقاء؟ اشرح ذلك من فضلك.",
    "sv": "Varför är himlen blå? Förklara det för ett barn, tack.",
    "ru": "Почему небо голубое? Объясни это ребёнку.",
    "th": "ทำไมท้องฟ้าถึงเป็นสีฟ้า ช่วยอธิบายหน่อย",
    "ko": "하늘은 왜 파란색인지 아이에게 설명해 주세요.",
}
SHORT = {"zh": "中国的首都是哪里", "ja": "日本国憲法", "ko": "안녕하세요", "th": "สวัสดีครับ"}
NOT_FOREIGN = {
    "English": "Why is the sky blue? Explain it to a child, please.",
    "code": "def f(x):\n    return x + 1",
    "a formula": "sin(x)^2 + cos(x)^2 = ?",
    "one word": "hi",
    "names": "Tell me about Angela Merkel and Emmanuel Macron.",
    "a foreign word in its script": "The word 中国 means China.",
    "a foreign word": "What does 'Schadenfreude' mean?",
    "nothing but signs": "\u0000\ud800 \ufffe !!! 🙂🙂",
    "nothing": "",
}


def asked(text: str, *cards: ModelCard) -> tuple[list[str], dict[str, str]]:
    """Who may answer, and the reasons against the others."""
    plan = RoutePlan("auto", CascadePolicy(), "default", cards)
    may, against = eligible_models(plan, requirements_of(asking(_chat(text)), DataPolicy()), always_healthy)
    return [each.card.name for each in may], {each.card.name: each.why for each in against}


def _chat(text: str) -> ChatRequest:
    """A chat with this text, also one that no JSON can hold."""
    what = chat("word")
    (message,) = what.messages
    return msgspec.structs.replace(what, messages=(msgspec.structs.replace(message, content=text),))


def explained(text: str, *cards: ModelCard) -> RoutingDecision:
    names = ModelAliases(cards, {"default": CascadePolicy()})
    return explain(asking(_chat(text)), names, always_healthy, DataPolicy())


@pytest.mark.parametrize("language", SHORT)
def test_a_short_question_is_known_by_a_script_without_spaces(language: str) -> None:
    assert asked(SHORT[language], ENGLISH, UNKNOWN)[0] == ["echo/large"]


@pytest.mark.parametrize("language", QUESTIONS)
@pytest.mark.parametrize("large", [UNKNOWN, MANY], ids=["unknown", "many"])
def test_a_model_that_lists_english_alone_is_not_asked_in_another_language(large: ModelCard, language: str) -> None:
    may, against = asked(QUESTIONS[language], ENGLISH, large)
    if language in ("ru", "th", "ko") and large is MANY:
        assert may == ["echo/large"] and "no model lists" in against["echo/small"]
    else:
        assert may == ["echo/large"] and f"({language})" in against["echo/small"]


@pytest.mark.parametrize("kind", NOT_FOREIGN)
def test_what_is_english_or_uncertain_leaves_nobody_out(kind: str) -> None:
    assert asked(NOT_FOREIGN[kind], ENGLISH, MANY)[0] == ["echo/small", "echo/large"]


def test_the_answer_and_the_decision_name_the_language_and_who_was_left_out() -> None:
    routing = Routing(ENGLISH, MANY)
    routing.run(chat(QUESTIONS["sv"]))
    assert routing.client.results == [("echo/large", "answered")]
    why = "echo/small answers in en, and the question is in Swedish (sv)"
    assert why in routing.client.chosen.reason
    told = explained(QUESTIONS["sv"], ENGLISH, MANY)
    assert told.language == "sv" and why in told.why
    assert [(each.model, each.eligible) for each in told.candidates] == [("echo/large", True), ("echo/small", False)]


def test_where_all_models_list_the_same_languages_nothing_is_detected() -> None:
    both = (ENGLISH, replace(UNKNOWN, languages=ENGLISH.languages))
    assert asked(QUESTIONS["sv"], *both)[0] == ["echo/small", "echo/large"]
    assert explained(QUESTIONS["sv"], *both).language == ""


def test_if_no_model_lists_the_language_the_strongest_answers() -> None:
    german = replace(UNKNOWN, languages=frozenset({"de"}))
    may, against = asked(QUESTIONS["zh"], ENGLISH, german)
    assert may == ["echo/large"] and "so that the strongest answers" in against["echo/small"]


def test_a_named_model_answers_in_any_language() -> None:
    routing = Routing(ENGLISH, MANY)
    routing.run(chat(QUESTIONS["zh"], "echo/small"))
    assert routing.client.results == [("echo/small", "answered")]


def test_a_similar_language_is_no_reason() -> None:
    norwegian = replace(ENGLISH, languages=frozenset({"no"}))
    assert "echo/small" in asked(QUESTIONS["sv"], norwegian, MANY)[0]


def test_code_in_a_question_does_not_hide_its_language() -> None:
    text = "Varför fungerar inte den här funktionen som den ska?\n```python\nfor each in things:\n    print(each)\n```"
    assert asked(text, ENGLISH, MANY)[0] == ["echo/large"]


def test_a_long_text_is_judged_by_its_beginning() -> None:
    assert asked(QUESTIONS["sv"] * 5_000, ENGLISH, MANY)[0] == ["echo/large"]
