"""How many layers of a model go to the GPUs, and where they run, in words; detects no GPU and loads nothing.

Unproven on hardware: built on machines without a GPU, and tested with a double of the runtime that reports one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

GpuLayers = Literal["auto"] | int
USABLE_SHARE = 0.9
"""Of a GPU's free memory; the rest is left to its driver and to buffers that nobody has counted."""
UNPROVEN = "offload is unproven: this version was tested with a double of a GPU only"
NO_GPU = "the installed xllamacpp sees no GPU"
NO_GPU_HINT = 'Install a build of xllamacpp for your GPU, or set gpu_layers = "auto" in [local].'


@dataclass(frozen=True, slots=True)
class Gpu:
    """As the runtime reports it. `free`: bytes."""

    name: str
    description: str
    free: int


@dataclass(frozen=True, slots=True)
class ModelSize:
    """`layers` counts the output layer, as llama.cpp does. In bytes: one layer with its cache, and the buffers of one
    GPU.
    """

    layers: int
    layer_bytes: int
    buffer_bytes: int


def offloaded_layers(requested: GpuLayers, size: ModelSize, gpus: Sequence[Gpu]) -> int:
    """With "auto" as many as fit into the free memory. ValueError if some are requested and there is no GPU."""
    if not gpus:
        if requested not in ("auto", 0):
            raise ValueError(f"gpu_layers = {requested}, and {NO_GPU}. {NO_GPU_HINT}")
        return 0
    if requested != "auto":
        return min(requested, size.layers)
    free = (round(gpu.free * USABLE_SHARE) - size.buffer_bytes for gpu in gpus)
    return min(size.layers, sum(max(0, each) // max(1, size.layer_bytes) for each in free))


def placement_text(name: str, offloaded: int, layers: int, gpus: Sequence[Gpu]) -> str:
    """The line that is shown when the model has been loaded."""
    if not offloaded:
        why = "as gpu_layers and the free GPU memory allow" if gpus else NO_GPU
        return f"{name} runs on the CPU: {why}"
    where = ", ".join(f"{gpu.name} ({gpu.description})" for gpu in gpus)
    rest = f", {layers - offloaded} on the CPU" if offloaded < layers else ""
    return f"{name} runs with {offloaded} of {layers} layers on {where}{rest}; {UNPROVEN}"
