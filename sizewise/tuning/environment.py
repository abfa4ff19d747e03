"""Training environment: a virtual environment of its own with PyTorch, never the one that Sizewise runs in."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from sizewise.atomic_file import write_file_atomically
from sizewise.errors import BadRequest, ExternalFailure
from sizewise.process import run

REQUIREMENTS = ("torch>=2.8", "transformers>=5.20,<6", "peft>=0.21,<1", "gguf>=0.19,<1", "numpy>=2.1")
CPU_BYTES, GPU_BYTES = 1_100_000_000, 7_000_000_000
"""On disk afterwards: measured on Linux for a CPU build, about for one with CUDA."""
CPU_DOWNLOAD, GPU_DOWNLOAD = "about 250 MB", "about 3 GB"
INSTALL_S = 3_600.0
SETUP_HINT = "Run: sizewise tune setup"
CPU_HINT = (
    "Give the index of CPU builds that pytorch.org names under `Get started`: --index URL, or a Python for which there "
    "is one: --python PATH, or take the build for GPUs: --gpu"
)


class TrainingEnvironment(Struct, frozen=True):
    """`folder`: the virtual environment; `versions`: of what it has."""

    folder: str
    gpu: bool
    versions: dict[str, str]

    @property
    def python(self) -> str:
        return str(_python(Path(self.folder)))


def environment_folder(cache: Path) -> Path:
    return cache / "tuning-environment"


def find_environment(cache: Path) -> TrainingEnvironment | None:
    """None if there is none, or if it was not made whole."""
    try:
        found = msgspec.json.decode((environment_folder(cache) / "ready.json").read_bytes(), type=TrainingEnvironment)
    except (OSError, msgspec.DecodeError):
        return None
    return found if Path(found.python).exists() else None


def require_environment(cache: Path) -> TrainingEnvironment:
    """Raises ExternalFailure with the command that makes it."""
    found = find_environment(cache)
    if found is None:
        raise ExternalFailure("there is no training environment: PyTorch is not installed", SETUP_HINT)
    return found


async def make_environment(
    cache: Path, env: Mapping[str, str], *, python: str, index: str, gpu: bool, progress: Callable[[str], None]
) -> TrainingEnvironment:
    """Replaces one that is there. `env`: of pip. Raises ExternalFailure, BadRequest with the next step."""
    folder = environment_folder(cache)
    needs = GPU_BYTES if gpu else CPU_BYTES
    cache.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(cache).free) < needs:
        raise ExternalFailure(
            f"the environment needs {needs / 1e9:.1f} GB of disk, and {str(cache)!r} has {free / 1e9:.1f} GB",
            "Free some space, or set SIZEWISE_CACHE to a folder on a larger disk.",
        )
    shutil.rmtree(folder, ignore_errors=True)
    progress("making the virtual environment")
    await _run([python or sys.executable, "-m", "venv", str(folder)], env, "the virtual environment cannot be made")
    pip = [str(_python(folder)), "-m", "pip", "--disable-pip-version-check"]
    more = ["--extra-index-url", index] if index else []
    progress("looking for a build of PyTorch")
    if not gpu and sys.platform == "linux":
        await _require_cpu_build(pip, more, env)
    progress("installing PyTorch, transformers and PEFT")
    await _run([*pip, "install", "--quiet", *more, *REQUIREMENTS], env, "PyTorch cannot be installed")
    progress("checking what was installed")
    names = [each.partition(">")[0] for each in REQUIREMENTS]
    code = "import json,sys,importlib.metadata as m;print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    said = await _run([str(_python(folder)), "-c", code, *names], env, "the environment does not work")
    ready = TrainingEnvironment(str(folder), gpu, json.loads(said))
    write_file_atomically(folder / "ready.json", msgspec.json.encode(ready))
    return ready


async def _require_cpu_build(pip: list[str], more: list[str], env: Mapping[str, str]) -> None:
    """What pip would install, before anything large is downloaded: a build with CUDA brings packages of NVIDIA."""
    words = [*pip, "install", "--dry-run", "--quiet", "--ignore-installed", "--report", "-", *more, REQUIREMENTS[0]]
    report = json.loads(await _run(words, env, "no build of PyTorch was found"))
    names = [each["metadata"]["name"] for each in report.get("install", ())]
    if any(name.startswith(("nvidia-", "triton")) for name in names):
        raise BadRequest("pip would install a build of PyTorch for GPUs, 3 GB to download", CPU_HINT)


async def _run(words: list[str], env: Mapping[str, str], failure: str) -> str:
    done = await run(words, INSTALL_S, env)
    if done.exit_code:
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no message")
        raise ExternalFailure(f"{failure}: {last[:300]}", "Check the network and --python, and run it again.")
    return done.stdout


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
