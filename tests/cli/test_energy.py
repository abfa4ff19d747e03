"""Energy of requests: in records and savings, by size at an endpoint and by time here, and unknown where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.running_server import serving

SETTINGS = """
[server]
embedded = false
discover = false
[local]
watts = 100
[providers.cloud]
wire = "echo"
place = "anyone"
models = ["small", "large", "secret"]
[providers.here]
wire = "echo"
place = "process"
models = ["own"]
[models."cloud/small"]
parameters = 1_000_000_000
price = {input = "0.1", output = "0.1"}
[models."cloud/large"]
parameters = 70_000_000_000
price = {input = "1", output = "1"}
[models."cloud/secret"]
price = {input = "1", output = "1"}
[policies.quick]
kind = "cheapest"
models = ["cloud/small", "cloud/large"]
[policies.hidden]
kind = "cheapest"
models = ["cloud/small", "cloud/secret"]
"""
LARGE_WH, SMALL_WH = (1.2 * (b * 8.91e-5 + 1.43e-3 + (b * 8.02e-4 + 2.23e-2) / 3600 * 1000 / 8) for b in (70, 1))
"""Of a token, by the coefficients that docs/how-to/energy.md names."""


@pytest.mark.long
def test_records_and_savings_show_energy_with_how_it_was_found(tmp_path: Path) -> None:
    with serving(tmp_path, SETTINGS) as server:
        for name in ("cloud/large", "cloud/secret", "here/own", "auto:quick", "auto:quick", "auto:hidden"):
            assert server.chat(name, "one two three").status == 200
        records = {
            each["requestedModel"]: each for each in sizewise("records", "--json", home=tmp_path).json["records"]
        }
        large, small = records["cloud/large"], records["auto:quick"]
        words = large["tokens"]["output"]
        assert large["energy"]["wh"] == pytest.approx(words * LARGE_WH) and large["energy"]["estimated"]
        assert small["energy"]["wh"] == pytest.approx(words * SMALL_WH)
        assert "EcoLogits' coefficients; uncertain by a factor of about 3" in large["energy"]["how"]
        assert records["cloud/secret"]["energy"] is None
        assert 0 < records["here/own"]["energy"]["wh"] < 100 / 3600 * 60
        shown = sizewise("records", records["here/own"]["trace"], home=tmp_path).out
        assert "by time and the power of this machine" in shown
        unknown = sizewise("records", records["cloud/secret"]["trace"], home=tmp_path).out
        assert ["energy", "unknown"] in [line.split() for line in unknown.splitlines()]
        told = {each["policy"]: each["energy"] for each in sizewise("savings", "--json", home=tmp_path).json}
        quick, hidden = told["quick"], told["hidden"]
        assert (quick["requests"], quick["unknown"]) == (2, 0)
        assert quick["tookWh"] == pytest.approx(2 * words * SMALL_WH)
        assert quick["largeAloneWh"] == pytest.approx(2 * words * LARGE_WH)
        assert hidden["tookWh"] == pytest.approx(words * SMALL_WH) and hidden["largeAloneWh"] is None
        table = sizewise("savings", home=tmp_path).out
        assert "Energy is estimated, uncertain by a factor of about 3" in table and "unknown" in table


def test_each_choice_of_a_model_here_takes_its_own(tmp_path: Path) -> None:
    with serving(tmp_path, SETTINGS) as server:
        assert server.chat("here/own", "one two three", n=3).status == 200
        (record,) = sizewise("records", "--json", home=tmp_path).json["records"]
        assert record["energy"]["wh"] > 0
