"""`[local] gpu_layers`: what the embedded runtime is asked to put on a GPU, and the line that says where it runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sizewise.errors import ConfigError
from sizewise.providers.local.gpu_layers import Gpu, GpuLayers, ModelSize, offloaded_layers
from sizewise.settings.load import load_settings
from tests.catalog.gguf_file import tiny
from tests.forked import command
from tests.running_server import environment, serving

ROOT = Path(__file__).parents[2]
GPU = Gpu("CUDA0", "Example GPU", 1000)
EMBEDDED = "[server]\nembedded = true\ndiscover = false\n[local]\ngpu_layers = {layers}\n"


def lines_of(tmp_path: Path, layers: str, **environ: str) -> list[str]:
    """What a server with one model says at its start, and the error of a chat with it."""
    home, cache = tmp_path / "home", str(tmp_path / "cache")
    words = command("models", "add", str(tiny(tmp_path / "mine.gguf")), "--home", str(home))
    assert subprocess.run(words, env=environment(**environ), cwd=tmp_path, timeout=60).returncode == 0
    with serving(home, EMBEDDED.format(layers=layers), SIZEWISE_CACHE=cache, **environ) as server:
        answer = server.chat("local/mine")
    refused = [] if answer.status == 200 else [f"{answer.error['message']} {answer.error.get('hint')}"]
    return [each.strip() for each in (*server.said, *refused)]


@pytest.mark.parametrize(
    ("requested", "gpus", "layers"),
    [
        ("auto", [], 0),
        (0, [], 0),
        ("auto", [GPU], 7),  # 90 % of 1000 bytes, less 200 for buffers
        ("auto", [GPU, GPU], 10),
        ("auto", [Gpu("CUDA0", "", 100)], 0),
        (3, [GPU], 3),
        (99, [GPU], 10),
        (0, [GPU], 0),
    ],
)
def test_layers_that_go_to_a_gpu(requested: GpuLayers, gpus: list[Gpu], layers: int) -> None:
    assert offloaded_layers(requested, ModelSize(10, 100, 200), gpus) == layers


@pytest.mark.parametrize(
    ("layers", "free", "passed", "line"),
    [
        ('"auto"', 10**9, "1 layers, batches of 512", "1 of 1 layers on CUDA0 (Example GPU); offload is unproven"),
        ('"auto"', 1, "0 layers, batches of 32", "runs on the CPU: as gpu_layers and the free GPU memory allow"),
        ("0", 10**9, "0 layers, batches of 32", "runs on the CPU: as gpu_layers and the free GPU memory allow"),
        ("1", 1, "1 layers, batches of 512", "1 of 1 layers on CUDA0"),
    ],
    ids=["auto", "no memory free", "none", "one"],
)
@pytest.mark.long
def test_the_runtime_gets_the_layers_and_a_line_says_where_they_run(
    tmp_path: Path, layers: str, free: int, passed: str, line: str
) -> None:
    double = f"{ROOT / 'tests/fakes/gpu_runtime'}:{ROOT}"
    params = tmp_path / "params"
    said = lines_of(tmp_path, layers, PYTHONPATH=double, FREE_GPU_BYTES=str(free), PARAMS_FILE=str(params))
    assert params.read_text() == passed
    assert any("local/mine runs" in each and line in each for each in said), said


@pytest.mark.long
def test_layers_for_a_gpu_that_is_not_there_are_refused_with_the_next_step(tmp_path: Path) -> None:
    said = lines_of(tmp_path, "7")
    assert any("sees no GPU" in each and 'gpu_layers = "auto"' in each for each in said), said


@pytest.mark.parametrize("layers", ['"all"', "-1", "1.5", "true", "[1]", "20_000"])
def test_gpu_layers_are_auto_or_a_number(tmp_path: Path, layers: str) -> None:
    (tmp_path / "sizewise.toml").write_text(f"[local]\ngpu_layers = {layers}\n")
    with pytest.raises(ConfigError, match=r"local\.gpu_layers"):
        load_settings(tmp_path / "sizewise.toml", tmp_path, {})
