"""The decision without the call: who would be asked, and why not the others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sizewise.handler import RequestOptions
from sizewise.providers.echo import echo_card
from sizewise.routing.data_policy import DataPolicy
from sizewise.routing.explain import RoutingDecision, explain, header_value
from sizewise.routing.model_aliases import ModelAliases
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.policies.cheapest import CheapestPolicy
from sizewise.routing.policy import Policy
from sizewise.routing.router import always_healthy
from tests.routing.router_harness import LARGE, SMALL, agreeing, asking, chat, racing

CLOUD = echo_card("cloud/m", place="anyone", parameters=10**11)


NOTHING = RequestOptions()


def decided(
    model: str = "auto",
    options: RequestOptions = NOTHING,
    policy: Policy | None = None,
    text: str = "hello",
) -> RoutingDecision:
    names = ModelAliases((SMALL, LARGE, CLOUD), {"default": policy or CascadePolicy()})
    return explain(asking(chat(text, model=model), options), names, always_healthy, DataPolicy())


def test_it_tells_who_is_asked_first_and_who_if_that_is_not_trusted() -> None:
    decision = decided()
    assert [(step.models, step.how) for step in decision.steps] == [
        (("echo/small",), "held and judged"),
        (("echo/large",), "held and judged"),
        (("cloud/m",), "streamed"),
    ]
    assert decision.why.startswith("the cheapest model that fits (at the same cost, like cloud/m, and it is smaller); ")
    assert (decision.steps[0].threshold, decision.steps[2].threshold) == (0.5, None)
    assert decision.steps[0].average == "uncalibrated, so on average over requests nothing is promised"
    assert any(
        "If its answer is not trusted, echo/large: held and judged" in sentence for sentence in decision.sentences
    )


def test_every_model_not_chosen_has_a_reason_in_words() -> None:
    decision = decided(options=RequestOptions(data_class="confidential"))
    assert [(each.model, each.eligible) for each in decision.candidates] == [
        ("echo/small", True),
        ("echo/large", True),
        ("cloud/m", False),
    ]
    assert all(each.why for each in decision.candidates)
    assert "cloud/m is not eligible: it is at place 'anyone'" in " ".join(decision.sentences)


def test_who_would_only_be_asked_after_failures_is_said_too() -> None:
    decision = decided(policy=CheapestPolicy())
    assert [each.why for each in decision.candidates][1:] == ["used only if other models fail"] * 2


def test_a_named_model_is_said_to_be_named() -> None:
    decision = decided(model="echo/large")
    assert decision.sentences[0].startswith("Named in the request")
    assert decision.why == "named in the request"


def test_when_nobody_fits_the_error_is_the_decision() -> None:
    decision = decided(model="cloud/m", options=RequestOptions(online="deny"))
    assert decision.error == "forbidden" and decision.steps == ()
    assert decision.sentences[-1].startswith("No model is used: cloud/m is at place 'anyone'")


def test_races_and_rounds_are_explained() -> None:
    assert decided(policy=racing(0.1, "echo/small", "cloud/m")).steps[0].how == "raced"
    assert len(decided(policy=agreeing()).steps[0].models) == 3


def test_the_prompt_is_in_no_sentence() -> None:
    decision = decided(text="xyzzy-secret")
    assert "xyzzy" not in repr(decision)


def test_expected_costs_are_exact() -> None:
    small = decided().candidates[0]
    assert small.expected_cost is not None and small.expected_cost % 1_000 == 0 and small.expected_cost > 2_000_000


@given(st.text())
def test_a_header_is_one_short_line_of_latin_1(sentence: str) -> None:
    line = header_value(sentence)
    assert len(line.encode("latin-1")) <= 200 and line.isprintable()
