"""A small machine in a network without a way out: installs from its archive, starts, answers; prints what went where.

Started by test_machine_offline.py, in a network namespace of its own, with the folder of the unpacked archive.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.capture.network_capture import Wire, everywhere_is_here
from tests.edge.running_worker import free_port
from tests.running_server import KEY, until

NO_INDEX = {"PIP_INDEX_URL": "http://203.0.113.9/simple", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
QUESTION = {
    "model": "local/smollm2-135m",
    "max_tokens": 8,
    "temperature": 0,
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}


def installed(folder: Path) -> Path:
    """By the commands of README.txt; the program."""
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True, timeout=300)
    command = re.search(r"venv/bin/(pip install .*)", (folder / "README.txt").read_text())
    assert command is not None
    run = ["bash", "-c", f"venv/bin/{command[1]}"]
    subprocess.run(run, cwd=folder, check=True, env={**os.environ, **NO_INDEX}, stdout=sys.stderr, timeout=300)
    return venv / "bin" / "sizewise"


def asked(url: str, path: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url + path, data, headers), timeout=120) as answer:
        return json.load(answer)


def is_ready(url: str) -> bool:
    try:
        return bool(asked(url, "/readyz")["status"] == "ready")
    except OSError:
        return False


def memory(pid: int) -> dict[str, int]:
    """Bytes of a process and its children: resident, proportional (shared pages by their part), and its own alone."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = {"rss": 0, "pss": 0, "uss": 0}
    for each in (pid, *map(int, children)):
        rolled = Path(f"/proc/{each}/smaps_rollup").read_text()
        size = {name: 1024 * int(count) for name, count in re.findall(r"^(\w+): +(\d+) kB", rolled, re.M)}
        own = size["Private_Clean"] + size["Private_Dirty"]
        found = {"rss": found["rss"] + size["Rss"], "pss": found["pss"] + size["Pss"], "uss": found["uss"] + own}
    return found


def main(folder: Path) -> None:
    everywhere_is_here()
    with Wire() as wire:
        program, port = installed(folder), free_port()
        url = f"http://127.0.0.1:{port}"
        places = {"SIZEWISE_HOME": str(folder / "home"), "SIZEWISE_CACHE": str(folder / "cache"), "SIZEWISE_KEY": KEY}
        server = subprocess.Popen([program, "up", "--port", str(port)], env={**os.environ, **places}, stdout=sys.stderr)
        try:
            until(lambda: server.poll() is not None or is_ready(url), 120)
            answer = asked(url, "/v1/chat/completions", QUESTION)["choices"][0]["message"]["content"]
            held = memory(server.pid)
        finally:
            server.terminate()
            server.wait(60)
    seen = wire.capture()
    told = {
        "answer": answer,
        "memory": held,
        "opened": sorted({to for to, _ in seen.opened}),
        "datagrams": sorted(seen.datagrams),
        "lost": seen.lost,
    }
    print(json.dumps(told))  # noqa: T201 - for the test


if __name__ == "__main__":
    main(Path(sys.argv[1]))
