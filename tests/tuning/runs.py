"""Tuning runs for tests that train nothing."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from sizewise.tuning.recipe import PRESETS, TrainingEstimate, recipe_for
from sizewise.tuning.run_store import Measured, TuningRun


def planned(**more: Any) -> TuningRun:
    run = TuningRun(
        name="intents",
        base="local/smollm2-135m",
        base_sha256="b179",
        data="/data.jsonl",
        test="",
        instructions="",
        digest="d",
        train_count=80,
        test_count=20,
        answers=2,
        preset="standard",
        recipe=recipe_for(PRESETS["standard"], 80),
        estimate=TrainingEstimate(tokens=1_000, steps=30, cpu_seconds=60.0, bytes=2_000_000_000),
        created=1_795_000_000.0,
        baselines={"prompting": Measured((False,) * 20)},
    )
    return replace(run, **more)
