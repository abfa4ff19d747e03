"""A recipe: a few examples are learned in as many steps as many are, and the estimate counts them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sizewise.catalog.gguf_header import read_header
from sizewise.tuning.recipe import MOST_EPOCHS, PRESETS, Recipe, estimate, recipe_for
from sizewise.tuning.training import shared_tokens


@pytest.mark.parametrize(
    ("preset", "examples", "epochs"),
    [
        ("standard", 720, 3),
        ("standard", 228, 9),
        ("standard", 20, MOST_EPOCHS),
        ("quick", 720, 1),
        ("quick", 96, 4),
        ("thorough", 10_000, 6),
    ],
)
def test_a_recipe_has_at_least_the_steps_of_its_preset(preset: str, examples: int, epochs: int) -> None:
    found = recipe_for(PRESETS[preset], examples)
    assert found.epochs == epochs
    assert found.epochs * examples / found.batch >= PRESETS[preset].steps or found.epochs == MOST_EPOCHS


def test_an_estimate_counts_what_all_examples_share_once_a_step(smollm_gguf: Path) -> None:
    header, recipe = read_header(smollm_gguf), Recipe(epochs=3, batch=8)
    apart = estimate(header, recipe, [50] * 80, 0, 1e11)
    found = estimate(header, recipe, [50] * 80, 20, 1e11)
    assert (apart.tokens, found.tokens) == (3 * 80 * 50, 3 * 80 * 30 + 30 * 20)
    assert found.steps == apart.steps == 30
    assert found.cpu_seconds < apart.cpu_seconds and found.bytes <= apart.bytes


@pytest.mark.parametrize(
    ("prompts", "shared"),
    [
        ([[*range(20), 50, 1], [*range(20), 51, 52, 1]], 20),
        ([[*range(20), 1], [*range(20), 1, 1]], 20),
        ([[*range(20), 1], [*range(20), 1]], 20),
        ([[*range(5), 50, 1], [*range(5), 51, 1]], 0),
        ([[7, *range(20)], [8, *range(20)]], 0),
    ],
)
def test_what_all_prompts_begin_with_is_shared_but_for_their_last_token(prompts: list[list[int]], shared: int) -> None:
    assert shared_tokens([([*each, 99], len(each)) for each in prompts]) == shared
