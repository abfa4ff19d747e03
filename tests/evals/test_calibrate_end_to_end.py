"""A newcomer's way to a promise without one label: sampled while serving, calibrated, written, read anew, kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.evals.fake_judge import judging
from tests.evals.test_shadow_end_to_end import CONFIG, rows
from tests.graphql.graphql_client import graphql
from tests.running_server import serving, until

SURE, UNSURE = "[[logprob -0.05]] it is so", "[[echo/small: say a BAD answer]] [[logprob -1]] it is {number}"


@pytest.fixture
def config() -> Iterator[str]:
    with judging() as judge:
        config = CONFIG.format(share=1, url=judge.url)
        for name, price in (("small", 1), ("large", 9)):
            facts = f'logprobs = true\nprice = {{input = "{price}", output = "{price}"}}'
            config = config.replace(f'[models."echo/{name}"]', f'[models."echo/{name}"]\n{facts}')
        yield config


@pytest.mark.long
def test_a_promise_from_live_traffic_alone(tmp_path: Path, config: str) -> None:
    with serving(tmp_path, config) as server:
        for number in range(60):
            before = len(rows(tmp_path))
            assert server.chat("auto", SURE if number % 3 else UNSURE.format(number=number)).status == 200
            until(lambda before=before: len(rows(tmp_path)) > before)
        early = sizewise("route", "calibrate", "--policy", "default", "--quality", "0.98", home=tmp_path)
        assert early.code == 1 and "cannot be certified yet" in early.out, early.err
        done = sizewise("route", "calibrate", "--policy", "default", "--quality", "0.85", "--write", home=tmp_path)
        assert done.code == 0, done.err
        assert (
            "60 sampled pairs of echo/small and echo/large" in done.out
            and '+certificate = "default.certificate.json"' in done.out
        )
        assert graphql(server, "mutation { reload { models } }").errors == []
        good = server.chat("auto", SURE).headers
        assert good["x-sizewise-model"] == "echo/small" and "certified 0.85 of echo/large" in good["x-sizewise-why"]
        until(lambda: len(rows(tmp_path)) == 61)
        doubtful = server.chat("auto", UNSURE.format(number=99)).headers
        assert doubtful["x-sizewise-model"] == "echo/large" and "certified 0.85" in doubtful["x-sizewise-why"]
        until(lambda: len(rows(tmp_path)) == 62)
        (saved,) = sizewise("savings", "--json", home=tmp_path).json
        assert (saved["requests"], saved["small"]) == (62, 41) and float(saved["evaluationUsd"]) > 0
        assert saved["quality"]["samples"] == 2 and saved["quality"]["loss"] == 0.0 < saved["quality"]["lossHigh"]
        picture = tmp_path / "plane.svg"
        assert sizewise("savings", "--svg", str(picture), home=tmp_path).code == 0
        assert "target 0.85" in picture.read_text()


@pytest.mark.long
def test_what_cannot_be_calibrated_so_is_said(tmp_path: Path, config: str) -> None:
    with serving(
        tmp_path,
        config + '[policies.quick]\nkind = "cheapest"\n[policies.all]\nkind = "cascade"\nthreshold = 0.5\n',
    ) as server:
        none = sizewise("route", "calibrate", home=tmp_path)
        assert none.code == 1 and "Set `sample_rate` and `judge` in [shadow]" in none.out
        assert server.chat("auto", "one").status == 200
        for words, why in (
            (("--policy", "quick"), "'quick' is of kind 'cheapest'"),
            (("--policy", "all"), "routes between 3 models"),
            (("--policy", "defalt"), "Did you mean"),
            (("data",), "--small MODEL"),
        ):
            done = sizewise("route", "calibrate", *words, home=tmp_path)
            assert done.code == 2 and why in done.err, done.err
