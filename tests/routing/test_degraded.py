"""With the network gone models of this machine answer, and the answer says whose place it takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sizewise.errors import NotTrusted, SizewiseError, UpstreamUnreachable
from sizewise.handler import RequestOptions
from sizewise.model_card import ModelCard
from sizewise.providers.echo import echo_card
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.policies.cheapest import CheapestPolicy
from sizewise.routing.policies.fixed import FixedPolicy
from sizewise.routing.policy import Policy
from tests.routing.router_harness import Routing, chat

HERE = echo_card("here/small", parameters=100_000_000)
CLOUD = echo_card("cloud/large", place="anyone", parameters=70_000_000_000)
GONE = "[[cloud/large: fail]] Hello"


def away(card: ModelCard) -> str:
    return "has an open circuit breaker" if card.place == "anyone" else ""


def test_a_fallback_to_this_machine_is_marked() -> None:
    routing = Routing(HERE, CLOUD, policy=FixedPolicy(models=("cloud/large", "here/small"), retries=0))
    reply = routing.run(chat(GONE))
    assert reply.degraded == "cloud/large is unreachable; here/small answered instead"
    assert not routing.run(chat("Hello")).degraded, "the network is there"


@pytest.mark.parametrize("policy", [CascadePolicy(), FixedPolicy(models=("cloud/large", "here/small"))])
def test_a_model_that_is_left_alone_is_missed_where_the_policy_would_have_asked_it(policy: Policy) -> None:
    reply = Routing(HERE, CLOUD, policy=policy, health=away).run(chat("Hello"))
    assert reply.degraded == ("cloud/large has an open circuit breaker; here/small answered instead")


def test_what_would_have_been_said_anyway_is_not_degraded() -> None:
    cheap = Routing(HERE, CLOUD, policy=CheapestPolicy(), health=away)
    assert not cheap.run(chat("Hello")).degraded, "the cheapest was asked first all the same"
    third = echo_card("here/middle", parameters=3_000_000_000)
    judged = Routing(HERE, third, CLOUD, policy=CascadePolicy(threshold=0.0), health=away)
    assert not judged.run(chat("Hello")).degraded, "it was judged and trusted"
    named = Routing(HERE, CLOUD, health=away)
    assert not named.run(chat("Hello", model="here/small")).degraded


def test_who_asked_to_stay_offline_misses_nothing() -> None:
    routing = Routing(HERE, CLOUD, health=away)
    assert not routing.run(chat("Hello"), RequestOptions(online="deny")).degraded
    assert routing.client.tried[-1].model == "here/small"


def test_a_distrusted_answer_is_no_answer_offline_either_unless_the_policy_shows_it_marked() -> None:
    unsure = "[[cloud/large: fail]] [[here/small: logprob -3]] Hello"
    strict = Routing(HERE, CLOUD, policy=CascadePolicy(threshold=0.99))
    with pytest.raises(SizewiseError) as refused:
        strict.run(chat(unsure))
    assert isinstance(refused.value, (NotTrusted, UpstreamUnreachable))
    lax = Routing(HERE, CLOUD, policy=CascadePolicy(threshold=0.99, when_exhausted="show_marked"))
    assert "cloud/large failed" in lax.run(chat(unsure)).degraded


def test_a_remote_answer_is_never_a_stand_in() -> None:
    other = replace(echo_card("other/large", place="anyone", parameters=50_000_000_000))
    routing = Routing(CLOUD, other, policy=FixedPolicy(models=("cloud/large", "other/large"), retries=0))
    assert not routing.run(chat(GONE)).degraded
