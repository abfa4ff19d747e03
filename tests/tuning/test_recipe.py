"""A recipe: a few examples are learned in as many steps as many are, and the estimate counts them."""

from __future__ import annotations

import pytest

from sizewise.tuning.recipe import MOST_EPOCHS, PRESETS, recipe_for


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
