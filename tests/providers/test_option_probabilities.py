"""Probabilities of options: tokens that continue an option share them, and where options begin alike more are read."""

from __future__ import annotations

from math import log

import msgspec
import pytest

from sizewise.messages import ChatRequest, Message
from sizewise.providers.local.option_probabilities import OptionReader, OptionToken, option_chat
from sizewise.providers.wires.openai.decision_upstream import CarriedQuestion


def token(said: str, **others: float) -> OptionToken:
    """`others`: the probability of each token at this position."""
    tops = [OptionToken(name, log(chance)) for name, chance in others.items()]
    mine = next(each for each in tops if each.token == said)
    return OptionToken(said, mine.logprob, top_logprobs=tops)


def test_one_token_is_enough_where_options_begin_differently() -> None:
    reader = OptionReader(["true", "false"])
    reader.read([token("true", true=0.6, false=0.2, other=0.2)])
    assert reader.is_decided
    assert reader.probabilities() == pytest.approx((0.75, 0.25))


def test_options_that_begin_alike_are_told_apart_by_the_next_token() -> None:
    reader = OptionReader(["card_lost", "card_late", "refund"])
    reader.read([token("card_l", card_l=0.8, refund=0.2)])
    assert not reader.is_decided
    assert reader.probabilities() == pytest.approx((0.4, 0.4, 0.2))
    reader.read([token("ost", ost=0.9, ate=0.1)])
    assert reader.is_decided
    assert reader.probabilities() == pytest.approx((0.72, 0.08, 0.2))


def test_an_option_that_begins_another_ends_where_nothing_continues_it() -> None:
    reader = OptionReader(["1", "10"])
    reader.read([token("1", **{"1": 0.9, "2": 0.1}), token("</s>", **{"</s>": 0.7, "0": 0.3})])
    assert reader.probabilities()[0] >= 0.5


def test_tokens_that_are_parts_of_characters_are_read_as_bytes() -> None:
    reader = OptionReader(['"é"', '"à"'])
    first = OptionToken('"', bytes=[34], top_logprobs=[OptionToken('"', bytes=[34])])
    half = OptionToken("", bytes=[0xC3])
    rest, other = OptionToken("", log(0.9), [0xA9]), OptionToken("", log(0.1), [0xA0])
    rest.top_logprobs = [rest, other]
    reader.read([first, half, rest])
    assert reader.probabilities() == pytest.approx((0.9, 0.1))


def test_the_options_are_listed_for_a_model_that_has_not_learned_them() -> None:
    fields = {"model": msgspec.Raw(b'"m"')}
    chat = ChatRequest("m", [Message("user", "an invoice")], fields)
    asked = CarriedQuestion(['"billing"', '"support"'], ["", ""], "")
    plain, adapted = (option_chat(chat, asked, is_adapted=is_adapted) for is_adapted in (False, True))
    assert [each.role for each in plain.messages] == ["system", "user"]
    assert '"billing", "support"' in plain.messages[0].text
    assert adapted.messages == chat.messages
    assert msgspec.json.decode(plain.fields["grammar"]) == 'root ::= "\\"billing\\"" | "\\"support\\""'
