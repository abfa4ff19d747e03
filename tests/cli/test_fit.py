"""`sizewise fit`: whether a model fits a GPU or a machine, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import sizewise


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
