"""A budget in dollars needs known prices: what has none is named before anything is asked, with the place to set it."""

from __future__ import annotations

from typing import Any

import pytest

from sizewise.errors import BadRequest
from sizewise.evals.runs.budget_prices import check_prices, model_price
from sizewise.evals.runs.eval_spec import EvalSpecError, build_spec

MODELS = (
    model_price("echo/known", "chat", 1, 2),
    model_price("echo/free", "chat", 0, 0),
    model_price("other/half", "chat", 1, None),
    model_price("other/silent", "chat", None, None),
    model_price("vectors/embed", "embed", 1, None),
)
SPEC: dict[str, Any] = {"target": "auto", "data": "x.jsonl", "scorers": {"right": "exact"}}
JUDGE = {"kind": "judge", "model": "other/silent", "rubric": "Is it kind?"}


def check(target: str, models: tuple[Any, ...] = MODELS, **more: Any) -> None:
    check_prices(build_spec({**SPEC, "budget": {"usd": 1}, **more}), [target], models, "evals/support.yaml")


@pytest.mark.parametrize(
    "target", ["echo/known", "known", "echo/free", "auto", "auto:best", "small", "flow:support", "?"]
)
def test_what_has_a_price_or_may_have_one_is_asked(target: str) -> None:
    check(target)
    check(target, scorers={"near": {"kind": "similarity", "model": "vectors/embed"}})


@pytest.mark.parametrize("target", ["other/silent", "silent", "other/half"])
def test_a_model_without_a_price_is_named_with_both_ways_out(target: str) -> None:
    name = target if "/" in target else f"other/{target}"
    with pytest.raises(BadRequest) as caught:
        check(target)
    assert caught.value.message.startswith(f"no price is known for {name},")
    assert f'[models."{name}"] price = ' in caught.value.hint
    assert caught.value.hint.endswith("in evals/support.yaml: budget: {usd: none}")
    check(target, budget={"usd": "none", "minutes": 5})
    check(target, budget={})


def test_a_judge_needs_a_price_too() -> None:
    with pytest.raises(BadRequest, match="no price is known for other/silent,"):
        check("echo/known", scorers={"kind": JUDGE})


def test_auto_needs_one_model_that_has_a_price() -> None:
    unpriced = tuple(model_price(f"other/{name}", "chat", None, None) for name in "abcde")
    with pytest.raises(BadRequest, match="for other/a, other/b, other/c and 2 more, so"):
        check("auto", unpriced)
    check("auto", (*unpriced, MODELS[0]))
    check("auto", ())


def test_no_limit_is_a_word_and_other_words_are_no_amount() -> None:
    budget = build_spec({**SPEC, "budget": {"usd": "none", "minutes": "none", "concurrency": 2}}).budget
    assert (budget.usd, budget.minutes, budget.pico_dollars, budget.concurrency) == (None, None, None, 2)
    for wrong in ({"usd": "nothing"}, {"concurrency": "none"}, {"usd": -1}):
        with pytest.raises(EvalSpecError):
            build_spec({**SPEC, "budget": wrong})
