"""The image that `make image` builds: a server without rights, on a root that nobody writes, answers and ends."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sizewise import __version__
from tests.running_server import ECHO, until

IMAGE = f"localhost/sizewise:{__version__}"
USER = 10001
HOW = "needs root, podman and the image: apt install mmdebstrap buildah podman, make image"


def podman(*words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """By runc where it is there: crun starts nothing on a machine with cgroups of both versions."""
    runtime = ("--runtime", "runc", "--cgroup-manager", "cgroupfs") if shutil.which("runc") else ()
    return subprocess.run(["podman", *runtime, *words], capture_output=True, text=True, timeout=timeout)


@contextmanager
def running(home: Path, port: int) -> Iterator[str]:
    """The name of a container whose server reads its settings in `home`. No limit is raised: CI may not."""
    name = f"sizewise-test-{port}"
    raised = [
        f"--ulimit={each}={soft}:{hard}"
        for each, of in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC))
        for soft, hard in [resource.getrlimit(of)]
    ]
    shared = ("--network=host", f"--volume={home}:/var/lib/sizewise")
    words = ("up", "--port", str(port))
    try:
        began = podman(
            "run", "--detach", "--name", name, "--read-only", "--tmpfs=/tmp", *raised, *shared, IMAGE, *words
        )
        if began.returncode == 126:
            pytest.skip(f"{HOW}; podman starts no container here")
        assert began.returncode == 0, began.stderr
        yield name
    finally:
        podman("rm", "--force", name)


@pytest.mark.long
def test_a_server_in_its_image_answers_without_rights_and_ends_when_it_is_told(tmp_path: Path) -> None:
    if os.getuid() or not shutil.which("podman") or podman("image", "exists", IMAGE).returncode:
        pytest.skip(HOW)
    home = tmp_path / "home"
    home.mkdir()
    (home / "sizewise.toml").write_text(ECHO)
    for each in (home, home / "sizewise.toml"):
        os.chown(each, USER, USER)
    for each in (tmp_path, *tmp_path.parents[:2]):
        each.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running(home, port) as name:
        until(lambda: "is up" in podman("logs", name).stdout, 60)
        asked = podman("exec", name, "sizewise", "ask", "--model", "echo/small", "hello")
        assert asked.stdout.strip() == "hello", asked.stderr
        assert podman("exec", name, "id", "-u").stdout.strip() == str(USER)
        assert "Read-only file system" in podman("exec", name, "touch", "/opt/x").stderr
        assert podman("stop", "--time", "30", name).returncode == 0
        assert podman("wait", name).stdout.strip() == "0"
