"""A training environment whose Python only counts steps, takes its time, and goes on after a kill; it learns nothing.

It writes down each step in its folder, so that a test sees which machine does them. Asked for a batch, it pauses after
a quarter of the steps. Its adapter changes nothing either, so a run ends as one whose runtimes disagree.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from sizewise.catalog.loader import bundled_models
from sizewise.settings.load import load_settings
from sizewise.tuning.environment import TrainingEnvironment, environment_folder
from tests.tuning.adapter_file import write_adapter

STEPS = 60
BATCH = STEPS // 4
SCRIPT = """#!/bin/sh
"exec" "{python}" "$0" "$@"
import json, os, pathlib, shutil, sys, time
if "-c" in sys.argv:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
job = json.load(sys.stdin)
folder = pathlib.Path(job["folder"])
checkpoint = folder / "checkpoint.pt"
begin = int(checkpoint.read_text()) if checkpoint.exists() else 0
def say(**event):
    print(json.dumps(event), flush=True)
for step in range(begin, {steps} + 1):
    say(event="step", step=step, steps={steps}, cpu_seconds=(step - begin) / 10, loss=1.0)
    checkpoint.write_text(str(step))
    with open({log!r}, "a") as log:
        log.write(f"{{step}}\\n")
    if job["pause_ratio"] and step - begin >= {batch} and step < {steps}:
        say(event="pause", step=step, steps={steps}, cpu_seconds=(step - begin) / 10, peak_bytes=10**9, loss=1.0)
        sys.exit()
    time.sleep(0.2)
shutil.copy({adapter!r}, folder / "adapter.gguf")
answers = [dict(tokens=[1], logprobs=[-1.0]) for _ in job["probes"]]
ranks = [9 for _ in job["canaries"]]
spent = dict(cpu_seconds=({steps} - begin) / 10, peak_bytes=10**9)
say(event="end", steps={steps}, answers=answers, canary_ranks=ranks, **spent)
"""


def steps_done(cache: Path) -> list[int]:
    """By this environment, in their order; that with which it began too."""
    file = environment_folder(cache) / "steps"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def echo_environment(cache: Path) -> None:
    """Makes a cache folder with this environment, and the models of this machine."""
    models = load_settings(None, cache).cache_dir / "models"
    folder = environment_folder(cache)
    (folder / "bin").mkdir(parents=True)
    adapter = write_adapter(folder / "adapter.gguf", bundled_models()["smollm2-135m"].weights.sha256, 0.0)
    python = folder / "bin" / "python"
    log = str(folder / "steps")
    python.write_text(SCRIPT.format(python=sys.executable, steps=STEPS, batch=BATCH, adapter=str(adapter), log=log))
    python.chmod(0o755)
    ready = TrainingEnvironment(str(folder), gpu=False, versions={})
    (folder / "ready.json").write_bytes(msgspec.json.encode(ready))
    (cache / "models").symlink_to(models)
