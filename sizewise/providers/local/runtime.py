"""Runtime options of a local model, fitted to the model and the machine; starts and imports nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec

from sizewise.catalog import gguf_header, memory_check
from sizewise.catalog.memory_estimate import MemoryEstimate, format_bytes
from sizewise.errors import ModelUnavailable
from sizewise.process import physical_cores
from sizewise.providers.local.gpu_layers import GpuLayers, ModelSize

INSTALL_HINT = "pip install xllamacpp"  # our own package name might belong to others in an index
DEFAULT_CONTEXT = 8192  # tokens per slot, unless the model was trained for fewer
MIN_CONTEXT = 2048  # tokens; suggested when memory is short
MAX_BATCH = 32  # tokens
BATCH_PARAMETERS = 600_000_000  # parameters times tokens of a batch: 4 tokens for 135M


@dataclass(frozen=True, slots=True)
class LocalRuntime:
    """How to run a model. 0 means: chosen from the model's size and this machine."""

    context: int = 0  # tokens per slot, prompt and reply together
    slots: int = 0  # concurrent requests; each takes memory for its context
    threads: int = 0
    batch: int = 0  # prompt tokens between two checks for a cancelled request
    max_waiting: int = 64  # requests in the queue
    gpu_layers: GpuLayers = "auto"
    adapters: str = ""  # paths of the LoRA adapters that share the model, one a line


AUTO_RUNTIME = LocalRuntime()


def missing_dependency() -> str:
    """What is not installed, or "". Looks for the package without importing it."""
    return "" if find_spec("xllamacpp") else "xllamacpp is not installed"


def fit_runtime(requested: LocalRuntime, header: gguf_header.GgufHeader) -> LocalRuntime:
    """`requested` with every 0 replaced.

    A cancel is noticed between two batches, when the next has already begun, so two batches should take less than
    300 ms of CPU time. Measured within 4,000 tokens: 135M with batches of 4 at most 180 ms, 1.5B with 2 at most 310.
    Against batches of 64, a short prompt takes 40 % longer with 135M and twice as long with 1.5B.
    """
    slots = requested.slots or (4 if header.parameters < 500_000_000 else 2)
    window = header.context or DEFAULT_CONTEXT
    return replace(
        requested,
        slots=slots,
        context=min(requested.context, window) if requested.context else min(DEFAULT_CONTEXT, window),
        threads=requested.threads or physical_cores(),
        # llama.cpp needs room for one token of every slot.
        batch=max(requested.batch or min(MAX_BATCH, BATCH_PARAMETERS // max(1, header.parameters)), slots, 2),
    )


def estimate_memory(header: gguf_header.GgufHeader, runtime: LocalRuntime) -> MemoryEstimate:
    """Of main memory. Layers that are requested for a GPU are not counted; with "auto" all are."""
    whole = memory_check.estimate_memory(header, context=runtime.context, slots=runtime.slots, batch=runtime.batch)
    if runtime.gpu_layers == "auto" or not runtime.gpu_layers:
        return whole
    layers = header.layers + 1
    here = max(0, layers - runtime.gpu_layers)
    return replace(whole, weights=whole.weights * here // layers, kv_cache=whole.kv_cache * here // layers)


def model_size(header: gguf_header.GgufHeader, runtime: LocalRuntime) -> ModelSize:
    """What a GPU needs for it."""
    whole = memory_check.estimate_memory(header, context=runtime.context, slots=runtime.slots, batch=runtime.batch)
    layers = header.layers + 1
    return ModelSize(layers, (whole.weights + whole.kv_cache) // layers, whole.compute)


def check_memory(name: str, header: gguf_header.GgufHeader, runtime: LocalRuntime, available: int | None) -> None:
    """Raises ModelUnavailable, with the sizes, if the model does not fit into `available` bytes (None: unknown)."""
    need = estimate_memory(header, runtime)
    if available is None or need.total <= available:
        return
    hint = "Close other programs, or use a smaller model or fewer bits."
    for context in (runtime.context, MIN_CONTEXT):
        less = replace(runtime, slots=1, context=min(context, runtime.context), batch=min(runtime.batch, MAX_BATCH))
        least = estimate_memory(header, less)
        if least.total <= available:
            hint = f"With slots = 1 and context = {less.context} it needs {format_bytes(least.total)}."
            break
    raise ModelUnavailable(
        f"{name!r} does not fit in memory: {runtime.slots} slots of {runtime.context} tokens need {need}, "
        f"available are {format_bytes(available)}",
        hint,
    )
