"""The packaged catalogue as a market, read once, and one line to be advised."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sizewise.advisor.assumptions import assumed
from sizewise.advisor.criteria import weights
from sizewise.advisor.quality_estimates import Market, market
from sizewise.advisor.recommendation import Advice, advise
from sizewise.advisor.workload import workload
from sizewise.catalog.model_files import known, sold

Advised = Callable[..., Advice]
TODAY = "2026-11-26"


@pytest.fixture(scope="session")
def everything() -> Market:
    models = known()
    return market(models.values(), sold(models.values()))


@pytest.fixture(scope="session")
def advised(everything: Market) -> Advised:
    """Options as keywords, as `tokens_in="200"`; `assume` and `weight` as at the terminal."""

    def ask(assume: tuple[str, ...] = (), weight: tuple[str, ...] = (), **said: str) -> Advice:
        given = {name.replace("_", "-"): text for name, text in said.items()}
        work = workload(given, today=TODAY, free=8_000_000_000)
        return advise(work, everything, assumed(assume), weights(weight))

    return ask
