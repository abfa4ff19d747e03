"""Energy: estimates with their source, counters of processors, and the reported training in the advice."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from sizewise.advisor.assumptions import parse_assumptions
from sizewise.advisor.energy import hosted_energy, local_energy
from sizewise.catalog.model_info import Fact, ModelInfo
from sizewise.cli.answer_energy import ProcessorMeter
from sizewise.energy import format_wh
from tests.cli.terminal import sizewise

TOKENS = Fraction(200)


def model(parameters: int, active: int | None = None) -> ModelInfo:
    def fact(number: int) -> Fact[int]:
        return Fact(number, "a card", "2026-11-28")

    return ModelInfo("m", "M", "V", parameters=fact(parameters), active=None if active is None else fact(active))


def wh(info: ModelInfo) -> Fraction:
    found = hosted_energy(info, TOKENS, parse_assumptions())
    assert found is not None and found.low < found.wh < found.high
    return found.wh


def test_a_larger_model_takes_more_and_a_mixture_of_experts_less_than_its_size() -> None:
    assert wh(model(8 * 10**9)) < wh(model(70 * 10**9)) < wh(model(400 * 10**9))
    assert wh(model(400 * 10**9, 17 * 10**9)) < wh(model(400 * 10**9))
    assert hosted_energy(ModelInfo("m", "M", "V"), TOKENS, parse_assumptions()) is None


def test_the_estimate_is_the_one_of_its_source() -> None:
    """70 billion parameters at 4 bits fit one GPU: 1.2 x 200 tokens x (7.67 mWh + an eighth of 78.4 ms at 1 kW)."""
    assert float(wh(model(70 * 10**9))) == pytest.approx(1.2 * 200 * (0.007667 + 0.07844 / 3600 * 1000 / 8), rel=1e-3)


def test_here_it_is_time_at_a_power_that_can_be_set() -> None:
    found = local_energy(Fraction(36), on_gpu=False, assumptions=parse_assumptions(["watts-cpu=100"]))
    assert found.wh == 1 and "36 s at 100 W" in found.how


def counter(folder: Path, name: str, now: int) -> None:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "energy_uj").write_text(str(now))
    (folder / name / "max_energy_range_uj").write_text("10000000000")


def test_counters_of_whole_processors_are_read_also_if_one_begins_again(tmp_path: Path) -> None:
    counter(tmp_path, "intel-rapl:0", 1_000_000_000)
    counter(tmp_path, "intel-rapl:1", 9_000_000_000)
    counter(tmp_path, "intel-rapl:0:0", 5)
    meter = ProcessorMeter(tmp_path)
    counter(tmp_path, "intel-rapl:0", 4_600_000_000)
    counter(tmp_path, "intel-rapl:1", 2_600_000_000)
    assert meter.wh() == pytest.approx(2.0)
    assert ProcessorMeter(tmp_path / "none").wh() is None


@pytest.mark.long
def test_advice_shows_energy_which_counts_if_it_is_given_a_weight() -> None:
    words = ("advise", "--task", "classify", "--requests-per-month", "10k", "--memory-gb", "16")
    told = sizewise(*words, "--json").json
    assert told["weights"]["energy"] == 0
    energies = [each["energy"] for each in told["recommendations"]]
    assert all(each is None or each["how"].startswith("estimated: ") for each in energies)
    gpt4 = told["reported_trainings"][0]
    assert gpt4["gpu_hours"] == [54_000_000, 60_000_000] and 50e9 < gpt4["wh"][0] < gpt4["wh"][1] < 60e9
    weighed = sizewise(*words, "--labels", "2000", "--weight", "energy=3", "--assume", "energy-limit=1")
    shown = " ".join(weighed.out.split())
    assert "Wh a request, " in shown and "25,000 A100 for 90 to 100 days" in shown


def test_units() -> None:
    assert [format_wh(Fraction(each)) for each in ("0.00042", "12", "118.6", "4200", "52650000000")] == [
        "0.00042 Wh", "12 Wh", "119 Wh", "4.2 kWh", "52.6 GWh",
    ]  # fmt: skip
