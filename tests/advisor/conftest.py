"""The packaged catalogue as a market, read once, and one line to be advised."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sizewise.advisor.assumptions import parse_assumptions
from sizewise.advisor.criteria import parse_weights
from sizewise.advisor.quality_estimates import ModelOffers, build_model_offers
from sizewise.advisor.recommendation import Recommendation, recommend
from sizewise.advisor.workload import parse_workload
from sizewise.catalog.model_files import load_models, prices_by_offer

Advised = Callable[..., Recommendation]
TODAY = "2026-11-26"


@pytest.fixture(scope="session")
def everything() -> ModelOffers:
    models = load_models()
    return build_model_offers(models.values(), prices_by_offer(models.values()))


@pytest.fixture(scope="session")
def advised(everything: ModelOffers) -> Advised:
    """Options as keywords, as `tokens_in="200"`; `assume` and `weight` as at the terminal."""

    def ask(assume: tuple[str, ...] = (), weight: tuple[str, ...] = (), **said: str) -> Recommendation:
        given = {name.replace("_", "-"): text for name, text in said.items()}
        work = parse_workload(given, today=TODAY, free_memory=8_000_000_000)
        return recommend(work, everything, parse_assumptions(assume), parse_weights(weight))

    return ask
