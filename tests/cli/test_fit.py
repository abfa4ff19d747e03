"""`sizewise fit`: whether a model fits a GPU or a machine, without a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sizewise.app.services import open_services
from tests.cli.terminal import sizewise
from tests.routing.test_pace import attempt


def test_a_model_is_fitted_to_a_gpu_by_name(tmp_path: Path) -> None:
    told = sizewise("fit", "phi-4", "--on", "V100-32GB", "--json", home=tmp_path).json
    fits = {row["quantization"]: row["fits"] for row in told["quantizations"]}
    assert fits["Q8_0"] and fits["Q4_K_M"] and told["source"]
    paces = [row["tokens_per_second"] for row in told["quantizations"]]
    assert paces == sorted(paces)  # fewer bits are read faster
    shown = sizewise("fit", "phi-4", "--on", "v100-32gb", home=tmp_path).out
    assert "Unproven" in shown and max(map(len, shown.splitlines())) <= 100


def test_what_does_not_fit_is_said_by_the_exit_code(tmp_path: Path) -> None:
    done = sizewise("fit", "llama-3.1-70b", "--memory-gb", "4", home=tmp_path)
    assert done.code == 1 and "does not fit" in done.out


def test_a_model_of_unknown_architecture_has_a_bound_by_its_parameters(tmp_path: Path) -> None:
    """13 billion parameters are known of it, and no layer: no other model of the catalog says more by its name."""
    done = sizewise("fit", "granite-13b-chat-v2", "--on", "V100-32GB", "--json", home=tmp_path)
    told = done.json
    rows = {row["quantization"]: row for row in told["quantizations"]}
    assert (done.code, told["bound_by"], told["parameters"]) == (0, "parameters", 13_000_000_000)
    assert rows["F16"]["at_least_bytes"] == 26_000_000_000 and rows["Q8_0"]["fits"] is True
    assert told["cache_of_similar"]["bytes"] > 0 and told["cache_of_similar"]["of_models"] > 1
    shown = sizewise("fit", "granite-13b-chat-v2", "--on", "V100-32GB", home=tmp_path).out
    assert "A bound by 13 billion parameters alone" in shown and "the KV cache" in shown
    assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.parametrize(("on", "code", "word"), [("15GB", 0, "cannot be told"), ("4GB", 1, "no")])
def test_a_bound_says_no_or_that_it_cannot_be_told(on: str, code: int, word: str, tmp_path: Path) -> None:
    done = sizewise("fit", "granite-13b-chat-v2", "--on", on, home=tmp_path)
    assert done.code == code
    (row,) = (line for line in done.out.splitlines() if line.startswith("Q8_0"))
    assert row.endswith(word)


def test_a_gpu_is_given_by_its_memory_alone(tmp_path: Path) -> None:
    done = sizewise("fit", "phi-4", "--on", "24GB", home=tmp_path)
    assert done.code == 0 and "unknown" in done.out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("phi-4", "--on", "V100"), "V100-32GB"),
        (("phi4x", "--on", "V100-32GB"), "phi"),
        (("phi-4", "--on", "24GB", "--memory-gb", "4"), "--on for a GPU"),
        (("phi-4", "--context", "99999", "--on", "24GB"), "--context 16384"),
    ],
)
def test_a_wrong_word_is_refused_with_the_next_step(words: tuple[str, ...], hint: str, tmp_path: Path) -> None:
    done = sizewise("fit", *words, home=tmp_path)
    assert done.code == 2 and hint in done.hint


TESTED: dict[str, object] = {
    "date": "2026-11-28",
    "prompt_tokens_per_s": 100.0,
    "output_tokens_per_s": 10.0,
    "memory_bytes": None,
    "tools": False,
    "tokens_per_character": {},
}


def rate(home: Path, *words: str) -> float:
    """Tokens per second with four bits."""
    rows = sizewise("fit", *words, "--json", home=home).json["quantizations"]
    found: float = rows[-1]["tokens_per_second"]
    return found


async def test_the_pace_is_that_which_the_model_reached_here(tmp_path: Path) -> None:
    """By its self-test, then by the requests to its server, which are more."""
    (tmp_path / "self-tests.json").write_text(json.dumps({"local/smollm2-135m": TESTED}))
    tested = sizewise("fit", "smollm2-135m", home=tmp_path).out
    assert "wrote 10.0 tokens/s and read 100, its self-test of 2026-11-28" in tested
    with open_services(tmp_path) as services:
        pace = services.measured_paces.paces["local/smollm2-135m"]
        pace.finished.extend([attempt(prompt=100, output=51, first_s=1.0, end_s=2.0)] * 3)
        await services.measured_paces.save()
    served = sizewise("fit", "smollm2-135m", home=tmp_path).out
    assert "wrote 50.0 tokens/s and read 100, 3 requests" in served


@pytest.mark.long
def test_another_model_is_scaled_from_the_measured_one_and_another_machine_is_not(tmp_path: Path) -> None:
    (tmp_path / "self-tests.json").write_text(json.dumps({"local/smollm2-135m": TESTED}))
    slow = rate(tmp_path, "llama-3.1-8b", "--context", "64")
    assert slow == pytest.approx(0.2, abs=0.01)  # 98 MB at 10 tokens/s are 0.98 GB/s; 4.9 GB of weights
    assert rate(tmp_path, "llama-3.1-8b", "--context", "64", "--memory-gb", "16") == pytest.approx(3.06, abs=0.1)
    assert rate(tmp_path, "llama-3.1-8b", "--context", "64", "--assume", "bandwidth-cpu=49") == pytest.approx(10, abs=1)
    told = sizewise("advise", "--task", "classify", "--reasons", home=tmp_path).out
    assert "bandwidth-cpu = 0.98" in told and "self-test of 2026-11-28" in told


@pytest.mark.long
@pytest.mark.parametrize("text", ["", "[]", '{"local/smollm2-135m": {}}', '{"local/unknown": 7}'])
def test_self_tests_that_cannot_be_read_are_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "self-tests.json").write_text(text)
    (tmp_path / "sizewise.db").write_bytes(b"no database" * 100)
    done = sizewise("fit", "smollm2-135m", home=tmp_path)
    assert done.code == 0 and "copied by" in done.out
