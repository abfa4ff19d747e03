"""What an option is made of: needs, sold offers, thinking, tuning by size, timetable, images, egress and risks."""

from __future__ import annotations

from fractions import Fraction

import pytest

from sizewise.advisor.assumptions import parse_assumptions, with_machine_speed
from sizewise.advisor.criteria import CRITERIA
from sizewise.advisor.latency import output_tokens
from sizewise.advisor.next_steps import next_steps
from sizewise.advisor.own_criterion import parse_own_criteria
from sizewise.advisor.quality_estimates import ModelOffers
from sizewise.advisor.recommendation import RankedCandidate, Recommendation
from sizewise.advisor.training_from_scratch import scratch_estimate
from sizewise.advisor.tuning import tuning_hours
from sizewise.catalog.loader import bundled_models
from sizewise.errors import BadRequest
from tests.advisor.conftest import TODAY, Advised
from tests.advisor.sample_models import fact, open_model

TICKETS = {"task": "classify", "requests_per_month": "3M", "tokens_in": "200", "tokens_out": "5", "memory_gb": "16"}


def option(advice: Recommendation, kind: str) -> RankedCandidate | None:
    every = (*advice.ranked, *advice.near)
    return next((each for each in every if each.candidate.kind == kind), None)


def test_what_misses_its_need_is_never_first(advised: Advised) -> None:
    advice = advised(task="summarize", privacy="confidential", memory_gb="4", latency_ms="600000")
    assert not advice.ranked and advice.near
    assert all(each.candidate.quality < advice.assumptions["need"] for each in advice.near)
    lower = advised(("need=0.4",), task="summarize", privacy="confidential", memory_gb="4", latency_ms="600000")
    assert lower.ranked


def test_no_endpoint_is_proposed_that_is_not_known_to_sell_the_model(advised: Advised, everything: ModelOffers) -> None:
    assert everything.statuses is not None
    for months in ("1", "12", "36"):
        advice = advised(**TICKETS, months=months)
        for each in (*advice.ranked, *advice.near):
            for part in each.candidate.placements:
                if part.offer:
                    status = everything.statuses[part.offer]
                    assert status.objection(TODAY, advice.workload.horizon_end) == "", part.offer


def test_a_model_that_reasons_thinks_in_every_task(advised: Advised) -> None:
    work = advised(**TICKETS).workload
    plain, thinker = open_model("plain", 8, 0.7), open_model("thinker", 8, 0.7, reasoning=fact(True))
    assumptions = parse_assumptions()
    assert output_tokens(plain, work, assumptions) == 5
    assert output_tokens(thinker, work, assumptions) == 5 + 100


def test_tuning_takes_weeks_for_a_small_model_and_months_for_a_large_one() -> None:
    assumptions = parse_assumptions()
    hours = [tuning_hours(open_model("m", size, None), assumptions) for size in (0.135, 1, 8, 70, 405)]
    assert hours == sorted(hours) and len(set(hours)) == len(hours)
    weeks = [each / assumptions["hours-week"] for each in hours]
    assert weeks[1] == 1 and weeks[-1] > 9


@pytest.mark.long
def test_fixed_answers_with_labels_are_a_trained_classifier(advised: Advised) -> None:
    with_labels = option(advised(**TICKETS, labels="2000"), "classifier")
    assert with_labels is not None and "no language model" in with_labels.title
    for more in ({"labels": "10"}, {"labels": "2000", "languages": "de"}, {"labels": "2000", "task": "chat"}):
        assert option(advised(**{**TICKETS, **more}), "classifier") is None


def test_a_timetable_leaves_out_what_takes_longer(advised: Advised) -> None:
    soon = advised(**TICKETS, labels="5000", privacy="confidential", weeks="1")
    assert soon.ranked and all(each.candidate.setup_hours <= 40 for each in (*soon.ranked, *soon.near))
    assert any("1 weeks that there are" in each.reason for each in soon.exclusions)


def test_images_leave_out_models_that_do_not_see(advised: Advised) -> None:
    advice = advised(task="extract", images="2", memory_gb="8")
    models = [part.model for each in advice.ranked for part in each.candidate.placements]
    assert models and all(m.input_modalities and "image" in m.input_modalities.value for m in models)
    assert any("accept" in each.reason for each in advice.exclusions)


def test_bytes_that_leave_cost_egress_fees_and_are_shown(advised: Advised) -> None:
    api = option(advised(**TICKETS), "api")
    free = option(advised(("egress=0",), **TICKETS), "api")
    assert api is not None and free is not None
    fee = Fraction(200 * 4 * 9, 100 * 10**9)  # dollars: 200 tokens of 4 bytes at 0.09 per GB
    assert api.candidate.cost.per_request - free.candidate.cost.per_request == fee * 10**12
    assert "2.4 GB leave per month" in api.scores["cost"].reason


def test_a_vendor_tunes_a_large_model_too(advised: Advised) -> None:
    tuned = option(advised(**TICKETS, labels="2000", months="1"), "api-tuned")
    assert tuned is not None and tuned.candidate.placements[0].offer.startswith("openai/")
    assert option(advised(**TICKETS, labels="2000", months="12"), "api-tuned") is None  # these models end before


def test_each_option_has_four_risks(advised: Advised) -> None:
    advice = advised(**TICKETS, labels="2000")
    for each in advice.ranked:
        names = [risk.name for risk in advice.risks(each)]
        assert names == ["API violation", "prompt injection", "data poisoning", "data leakage"]
    api, classifier = option(advice, "api"), option(advice, "classifier")
    assert api is not None and classifier is not None
    assert advice.risks(classifier)[0].level == "none"
    assert advice.risks(api)[3].level == "high"


def test_a_model_from_scratch_takes_20_tokens_a_parameter() -> None:
    found = scratch_estimate(10**9, parse_assumptions())
    assert found.tokens == 20 * 10**9
    assert found.gpu_hours == Fraction(6 * 10**9 * 20 * 10**9, 150 * 10**12 * 3600)


@pytest.mark.long
def test_a_criterion_of_ones_own_changes_the_order(advised: Advised) -> None:
    plain = advised(**TICKETS, labels="2000")
    own = advised(**TICKETS, labels="2000", criterion=("open-weights=1000,classifier=0,api=1",))
    assert plain.ranked[0].candidate.kind != own.ranked[0].candidate.kind == "api"
    assert list(own.ranked[0].scores) == [*CRITERIA, "open-weights"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("lock-in", "--criterion"),
        ("lock-in=2,apis=1", "'api'"),
        ("lock-in=2,api=3", "from 0 to 1"),
        ("lock-in=2000", "from 0 to 1000"),
        ("cost=2", "another name"),
        ("Lock In=2", "--criterion"),
    ],
)
def test_a_criterion_that_cannot_be_meant_is_refused(text: str, hint: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_own_criteria([text], list(CRITERIA), ["groq"])
    assert hint in caught.value.hint


def test_this_machine_is_measured_and_a_figure_of_the_users_stays() -> None:
    here = with_machine_speed(parse_assumptions(), Fraction(10), 2)
    assert here["bandwidth-cpu"] == 10 * here["bandwidth-share"] and here["flops-cpu"] == 2 * here["flops-core"]
    assert here.number("bandwidth-cpu").kind == "measured"
    assert with_machine_speed(parse_assumptions(["bandwidth-cpu=99"]), Fraction(10), 2)["bandwidth-cpu"] == 99


def test_the_advice_ends_in_a_command(advised: Advised) -> None:
    api = option(advised(**TICKETS), "api")
    assert api is not None
    offer = api.candidate.placements[0].offer
    steps = next_steps(api.candidate, bundled_models())
    assert any(step.startswith(f"sizewise ask --model {offer}") for step in steps)
