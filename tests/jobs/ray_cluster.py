"""A real Ray cluster on this machine: a head and nodes, each a group of processes with one CPU that can be killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.running_server import environment, until

RAY = Path(sys.prefix, "ray")
REPOSITORY = Path(__file__).parents[2]
READY_S = 300.0


def ray_environment() -> dict[str, str]:
    """That of nodes, and of what asks them. Skips the test where Ray is not here."""
    if not (RAY / "ray").is_dir():
        pytest.skip("Ray is not here; get it with: make test-sdks")
    return {"PYTHONPATH": f"{RAY}:{REPOSITORY}", "RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}


@dataclass
class RayCluster:
    folder: Path
    address: str = ""
    client: str = ""  # for those that are no node
    nodes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start_node(self, *arguments: str, **variables: str) -> None:
        """Returns when it takes work. `variables`: of its environment."""
        words = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
        words += ["--num-cpus=1", "--object-store-memory=100000000", "--node-ip-address=127.0.0.1", *arguments]
        log = self.folder / f"node{len(self.nodes)}.log"
        with log.open("w") as file:
            node = subprocess.Popen(
                words,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                env=environment(**ray_environment(), **variables),
            )
        self.nodes.append(node)

        def is_ready() -> bool:
            assert node.poll() is None, log.read_text()[-2000:]
            return "Ray runtime started" in log.read_text()

        until(is_ready, READY_S, 0.1)

    def kill_node(self, number: int) -> None:
        """With all that it runs, as when its machine loses power."""
        node = self.nodes[number]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGKILL)
        node.wait(30)

    def close(self) -> None:
        for number in range(len(self.nodes)):
            self.kill_node(number)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def ray_cluster(nodes: int, *, caches: Sequence[Path] = ()) -> Iterator[RayCluster]:
    """The first one is the head. `caches`: of each node, SIZEWISE_CACHE."""
    variables = [{"SIZEWISE_CACHE": str(each)} for each in caches] or [dict[str, str]()] * nodes
    cluster = RayCluster(Path(tempfile.mkdtemp(prefix="ray", dir="/tmp")))  # short: it holds sockets
    ports = free_ports(2)
    cluster.address, cluster.client = f"127.0.0.1:{ports[0]}", f"ray://127.0.0.1:{ports[1]}"
    try:
        head = ("--head", f"--port={ports[0]}", f"--ray-client-server-port={ports[1]}")
        cluster.start_node(*head, "--include-dashboard=false", f"--temp-dir={cluster.folder}", **variables[0])
        for each in variables[1:]:
            cluster.start_node(f"--address={cluster.address}", **each)
        yield cluster
    finally:
        cluster.close()


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in listeners:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in listeners]
