"""What this machine has for a training: its environment's variables, free memory, and its pace; trains nothing."""

from __future__ import annotations

from collections.abc import Mapping

from sizewise.catalog.memory_check import available_memory
from sizewise.catalog.memory_estimate import format_bytes
from sizewise.errors import ExternalFailure
from sizewise.process import run
from sizewise.settings.load import inherited_environment

KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "LANG", "CUDA_VISIBLE_DEVICES")
OFFLINE: Mapping[str, str] = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "OMP_WAIT_POLICY": "passive"}
"""The training opens no connection, and its threads give way instead of spinning."""
MEMORY_HINT = "Close other programs, shorten the longest examples, or tune a smaller model."
SPEED_CODE = """
import os, time
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # several spin while they wait for each other, and that is counted as work
import numpy as n
a = n.random.rand(576, 576).astype("f"); begin = time.process_time(); done = 0
while time.process_time() < begin + 0.5: a @ a; done += 1
print(2 * 576**3 * done / (time.process_time() - begin))
"""


def training_variables() -> Mapping[str, str]:
    return inherited_environment(lambda variable: variable in KEPT_VARIABLES) | dict(OFFLINE)


def missing_memory(needed: int) -> str:
    """What a training lacks here, with both sizes; empty: nothing."""
    free = available_memory()
    if free is None or needed <= free:
        return ""
    return f"needs about {format_bytes(needed)} of memory, and {format_bytes(free)} are free"


async def matrix_pace(python: str) -> float:
    """Operations a second of processor time that matrix products reach on this machine, also while it is busy.
    `python`: one that has numpy. Raises ExternalFailure.
    """
    done = await run([python, "-c", SPEED_CODE], 60.0)
    try:
        return float(done.stdout)
    except ValueError as why:
        raise ExternalFailure("numpy is not installed", "Run: pip install numpy") from why
