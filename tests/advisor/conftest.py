"""The packaged catalogue as a market, read once, and one line to be advised."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sizewise.advisor.assumptions import parse_assumptions
from sizewise.advisor.criteria import CRITERIA, parse_weights
from sizewise.advisor.own_criterion import parse_own_criteria
from sizewise.advisor.quality_estimates import ModelOffers
from sizewise.advisor.recommendation import Recommendation, recommend
from sizewise.advisor.workload import parse_workload
from sizewise.app.advice_json import catalog_offers
from sizewise.catalog.current_catalog import PACKAGED
from sizewise.catalog.model_files import load_models
from sizewise.model_card import DEFAULT_SIZE_THRESHOLDS

Advised = Callable[..., Recommendation]
TODAY = "2026-11-27"


@pytest.fixture(scope="session")
def everything() -> ModelOffers:
    return catalog_offers(PACKAGED, load_models(), DEFAULT_SIZE_THRESHOLDS)


@pytest.fixture(scope="session")
def advised(everything: ModelOffers) -> Advised:
    """Options as keywords, as `tokens_in="200"`; `assume` and `weight` as at the terminal."""

    def ask(
        assume: tuple[str, ...] = (), weight: tuple[str, ...] = (), criterion: tuple[str, ...] = (), **said: str
    ) -> Recommendation:
        given = {name.replace("_", "-"): text for name, text in said.items()}
        work = parse_workload(given, today=TODAY, free_memory=8_000_000_000)
        own = parse_own_criteria(criterion, list(CRITERIA), ())
        return recommend(work, everything, parse_assumptions(assume), parse_weights(weight), own)

    return ask
