"""The bench of quality guarantees: it judges each level as the shipped tests do, and a second model can be named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.routing.validity import passes
from sizewise.routing.guarantees.bounds import RISK_TESTS
from tests.cli.test_calibrate import written

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("method", RISK_TESTS)
def test_a_mean_loss_of_exactly_zero_is_judged_as_the_shipped_test_judges_it(method: str) -> None:
    """With 0.9 of a model that is always right, nine small answers that are right make up for one that is wrong."""
    chance, quality = np.random.default_rng(0), 0.9
    lost = 9
    row = np.asarray([quality] * lost + [quality - 1.0] * 9 * (lost + 1))  # with the bound's own term the sum is 0
    losses = np.stack([chance.permutation(row) for _ in range(200)])
    shipped = [RISK_TESTS[method](each.tolist(), quality, 0.05) for each in losses]
    assert passes(method, losses, quality, 0.05).tolist() == shipped


@pytest.mark.parametrize("method", RISK_TESTS)
def test_levels_far_from_the_bound_are_judged_alike_too(method: str) -> None:
    chance = np.random.default_rng(1)
    rates = np.linspace(0.5, 1.0, 12)
    losses = np.stack([0.9 - (chance.random(300) < rate) for rate in rates])
    found = passes(method, losses, 0.9, 0.05).tolist()
    assert found == [RISK_TESTS[method](each.tolist(), 0.9, 0.05) for each in losses]
    assert True in found and False in found


@pytest.mark.long
def test_the_bench_takes_a_second_model_and_writes_json(tmp_path: Path) -> None:
    folder = written(tmp_path, 120)
    pair = ("--small", "small", "--large", "large", "--second", "other")
    asked = ("-m", "bench.routing.run", str(folder), *pair, "--draws", "2", "--json")
    done = subprocess.run((sys.executable, *asked), cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["second"] == "other"


def test_make_passes_the_second_model_on() -> None:
    asked = ("make", "-n", "bench-routing", "DATA=x", "SMALL=a", "LARGE=b", "SECOND=c", "JSON=1")
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--small a --large b" in done.stdout and "--second c --json" in done.stdout
