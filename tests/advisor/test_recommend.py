"""The ranking is the same every time, scores stay in their bounds, and more volume never favours the dearer request."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizewise.advisor.assumptions import TASKS, parse_assumptions
from sizewise.advisor.criteria import CRITERIA, parse_weights
from sizewise.advisor.recommendation import RankedCandidate, Recommendation, recommend
from sizewise.advisor.workload import PRIVACY, TEAMS, parse_workload
from tests.advisor.conftest import TODAY, Advised
from tests.advisor.sample_models import fact, open_model, toys
from tests.properties import examples, tried_with_all

pytestmark = tried_with_all

NUMBER = st.sampled_from(("1", "20", "300", "2000"))
WORK = st.fixed_dictionaries(
    {
        "task": st.sampled_from(sorted(TASKS)),
        "tokens-in": NUMBER,
        "tokens-out": NUMBER,
        "privacy": st.sampled_from(PRIVACY),
        "memory-gb": st.sampled_from(("1", "4", "16")),
        "gpu-gb": st.sampled_from(("0", "24")),
        "team": st.sampled_from(TEAMS),
        "months": st.sampled_from(("1", "12", "36")),
        "labels": st.sampled_from(("0", "100", "5000")),
        "latency-ms": st.sampled_from(("2000", "60000")),
    },
)
WEIGHTS = st.lists(st.builds("{}={}".format, st.sampled_from(sorted(CRITERIA)), st.integers(0, 20)), max_size=4)
VOLUMES = st.integers(0, 10**9)


def ask(said: dict[str, str], volume: int, weight: list[str]) -> Recommendation:
    work = parse_workload({**said, "requests-per-month": str(volume)}, today=TODAY, free_memory=None)
    return recommend(work, toys(), parse_assumptions(), parse_weights(["quality=1", *weight]))


@pytest.mark.long
@examples(150)
@given(WORK, VOLUMES, VOLUMES, WEIGHTS)
def test_more_volume_never_favours_the_higher_unit_price(
    said: dict[str, str],
    one: int,
    other: int,
    weight: list[str],
) -> None:
    """What was first at the small volume would have charged no less for the added requests than what is first now."""
    few, many = sorted((one, other))
    if not (before := ask(said, few, weight).ranked):
        return
    old, new = before[0].candidate.cost, ask(said, many, weight).ranked[0].candidate.cost
    assert new.monthly_total(many) - new.monthly_total(few) <= old.monthly_total(many) - old.monthly_total(few)
    if old.capacity is None and new.capacity is None:
        assert few == many or new.per_request <= old.per_request


@examples(60)
@given(WORK, VOLUMES, WEIGHTS)
def test_scores_are_between_nought_and_one_and_add_up_to_the_points(
    said: dict[str, str],
    volume: int,
    weight: list[str],
) -> None:
    advice = ask(said, volume, weight)
    for each in advice.ranked:
        assert each.scores.keys() == CRITERIA.keys()
        assert all(0 <= score.value <= 1 and score.over_budget >= 0 and score.reason for score in each.scores.values())
        total = sum(advice.weights[name] * (score.value - score.over_budget) for name, score in each.scores.items())
        assert each.points == 100 * Fraction(total) / sum(advice.weights.values())
    points = [each.points for each in advice.ranked]
    assert points == sorted(points, reverse=True)


@examples(40)
@given(WORK, VOLUMES, WEIGHTS)
def test_the_same_question_gets_the_same_advice(said: dict[str, str], volume: int, weight: list[str]) -> None:
    assert ask(said, volume, weight) == ask(said, volume, weight)


@pytest.mark.long
def test_on_the_catalogue_more_volume_never_favours_the_higher_unit_price(advised: Advised) -> None:
    said = {"task": "extract", "memory_gb": "32", "gpu_gb": "24", "team": "ml", "labels": "1000"}
    volumes = (100, 10_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 100_000_000)
    firsts = [advised(**said, requests_per_month=str(volume)).ranked[0].candidate.cost for volume in volumes]
    for few, old in zip(volumes, firsts, strict=True):
        for many, new in zip(volumes, firsts, strict=True):
            if few < many:
                assert new.monthly_total(many) - new.monthly_total(few) <= old.monthly_total(many) - old.monthly_total(
                    few,
                )


def test_each_kind_comes_once_and_others_are_other_models(advised: Advised) -> None:
    ranked = advised(gpu_gb="24", labels="500", team="ml").ranked
    assert len({each.candidate.kind for each in ranked}) == len(ranked) >= 5
    for each in ranked:
        names = [
            tuple(part.model.name for part in option.placements) for option in (each.candidate, *each.alternatives)
        ]
        assert len(set(names)) == len(names)


def test_every_number_says_where_it_comes_from(advised: Advised) -> None:
    for each in advised(gpu_gb="24", labels="500", languages="de,hi").ranked:
        for score in each.scores.values():
            assert all(number.source and number.value for number in score.numbers)


def _prices(each: RankedCandidate) -> set[str]:
    return {number.kind for number in each.scores["cost"].numbers if "million" in number.value}


def test_prices_are_facts_and_wages_are_not(advised: Advised) -> None:
    api = next(each for each in advised().ranked if each.candidate.kind == "api")
    assert _prices(api) == {"fact"}
    assert [n.kind for n in api.scores["cost"].numbers if n.name == "wage"] == ["assumed"]
    paid = next(each for each in advised(assume=("wage=80",)).ranked if each.candidate.kind == "api")
    assert [n.kind for n in paid.scores["cost"].numbers if n.name == "wage"] == ["input"]


def test_confidential_data_leaves_on_no_option(advised: Advised) -> None:
    for each in advised(privacy="confidential", memory_gb="64", gpu_gb="24", labels="500", team="ml").ranked:
        assert all(part.is_local for part in each.candidate.placements)


def test_a_model_that_is_retired_within_the_horizon_is_not_proposed() -> None:
    market = toys(open_model("ending", 3, 0.95, retirement_date=fact("2027-03-01")))
    proposed = []
    for months in ("1", "12"):
        work = parse_workload(
            {"privacy": "confidential", "memory-gb": "16", "months": months, "latency-ms": "120000"},
            today=TODAY,
            free_memory=None,
        )
        advice = recommend(work, market, parse_assumptions(), parse_weights([]))
        proposed.append((*advice.ranked, *advice.near)[0].candidate.placements[0].model.name)
    assert proposed == ["ending", "middle"]
    assert any("within the time horizon" in each.reason for each in advice.exclusions)


def test_where_nothing_can_the_reasons_are_there() -> None:
    work = parse_workload({"privacy": "confidential", "memory-gb": "0.1"}, today=TODAY, free_memory=None)
    advice = recommend(work, toys(), parse_assumptions(), parse_weights())
    assert advice.ranked == () and advice.break_even == ()
    assert {each.kind for each in advice.exclusions} >= {"local", "api"}
