"""Measures a small machine from its archive: seconds until it is ready and has answered, processor time, and memory.

`make bench-edge`, or `python -m bench.edge.small_machine [--starts N]`. Ready is the first 200 of /readyz, answered the
first word of the 135M; each start has a fresh database. Runs in the environment of this repository.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.archives import unpack
from tests.cli.terminal import sizewise
from tests.edge.offline_machine import QUESTION, asked, is_ready, memory
from tests.edge.running_worker import free_port
from tests.running_server import KEY

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Of a process and its children, so far."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    rows = [Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split() for each in (pid, *children)]
    return sum(int(row[11]) + int(row[12]) for row in rows) / TICKS


def start(machine: Path) -> tuple[float, float, float, dict[str, int]]:
    """Seconds until it is ready, and has answered; seconds of processor time until then; bytes."""
    shutil.rmtree(machine / "home", ignore_errors=True)
    shutil.copytree(machine / "packed", machine / "home")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    places = {"SIZEWISE_HOME": str(machine / "home"), "SIZEWISE_CACHE": str(machine / "cache"), "SIZEWISE_KEY": KEY}
    argv = [sys.executable, "-m", "sizewise", "up", "--port", str(port)]
    begun = time.perf_counter()
    server = subprocess.Popen(argv, env={**os.environ, **places}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not is_ready(url):
            time.sleep(0.01)
        ready = time.perf_counter() - begun
        asked(url, "/v1/chat/completions", {**QUESTION, "max_tokens": 1})
        return ready, time.perf_counter() - begun, cpu_s(server.pid), memory(server.pid)
    finally:
        server.terminate()
        server.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--starts", type=int, default=5)
    times = parser.parse_args().starts
    with tempfile.TemporaryDirectory() as place:
        home = Path(place) / "project"
        home.mkdir()
        (home / "sizewise.toml").touch()
        packed = sizewise("edge", "pack", "--model", "smollm2-135m", "--out", f"{place}/till.tar.gz", home=home)
        assert packed.code == 0, packed.err
        with tarfile.open(f"{place}/till.tar.gz") as archive:
            unpack(archive, place)
        machine = Path(place) / "sizewise-edge"
        (machine / "home").rename(machine / "packed")
        ready, answered, used, held = zip(*(start(machine) for _ in range(times)), strict=True)
    print(f"load {os.getloadavg()[0]:.1f}, {times} starts, each of a fresh database")
    print(f"ready: {median(ready):.2f} s in the median, {min(ready):.2f} at the fastest")
    print(f"the 135M has answered: {median(answered):.2f} s in the median, {min(answered):.2f} at the fastest")
    print(f"processor time until then, of all processes: {median(used):.2f} s")
    sizes = {name: max(each[name] for each in held) / 1e6 for name in held[0]}
    print(f"memory: {sizes['pss']:.0f} MB proportional, {sizes['rss']:.0f} resident, {sizes['uss']:.0f} of its own")


if __name__ == "__main__":
    main()
