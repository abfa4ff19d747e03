"""A job as a node of a cluster does it, without the cluster: what interrupts it ends the process that works for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CANCELLED = """
import _thread, sys, threading, time
from pathlib import Path
import msgspec
from sizewise import __version__
from sizewise.offload.job import WorkerLimits
from sizewise.offload.ray_task import run_job
from sizewise.offload.worker_pool import PoolRules

pid = Path(sys.argv[1])

def cancel():
    while not pid.exists() or not pid.read_text():
        time.sleep(0.05)
    time.sleep(1.0)  # by now all is quiet
    _thread.interrupt_main()  # as Ray does

threading.Thread(target=cancel, daemon=True).start()
rules = PoolRules(work="it", hint="send less", limits=WorkerLimits(memory_bytes=300_000_000))
job = [b"tests.jobs.work:make_trouble", b"", f"sleep {pid}".encode()]
try:
    run_job(__version__, msgspec.json.encode(rules), 600.0, job)
except KeyboardInterrupt:
    print("cancelled")
"""


def test_a_job_that_is_cancelled_while_all_is_quiet_ends_with_its_process(tmp_path: Path) -> None:
    """Within the time that the test waits: the job itself takes ten minutes."""
    pid, env = tmp_path / "pid", {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", CANCELLED, str(pid)]
    told = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=env)
    assert told.stdout == "cancelled\n", told.stderr
    assert not Path("/proc", pid.read_text()).exists()
