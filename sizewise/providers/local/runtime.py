"""Runtime options of a local model, fitted to the model and the machine; starts and imports nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec

from sizewise.catalog import gguf_header, memory_check
from sizewise.catalog.memory_estimate import MemoryEstimate, format_bytes
from sizewise.errors import ModelUnavailable
from sizewise.process import physical_cores
from sizewise.providers.local.gpu_layers import GpuLayers, ModelSize

INSTALL_HINT = "pip install xllamacpp; with uvx: uvx --with xllamacpp sizewise up"
"""Not by an extra: our own package name might belong to others in an index."""
DEFAULT_CONTEXT = 8192  # tokens per slot, unless the model was trained for fewer
MIN_CONTEXT = 2048  # tokens; suggested when memory is short
MAX_BATCH = 32
"""Tokens that a CPU reads at once. From 64 llama.cpp sums attention in another order, and a reply that is written
beside takes one of them: then a greedy answer depends on the other requests. From 2 to 32 answers are bit-identical.
"""
GPU_BATCH = 512  # tokens, if all layers are on GPUs
CANCEL_S = 0.3  # seconds until a cancelled request no longer computes
DEEP = 4_000  # tokens of a long prompt
ATTENTION_COST = 6.0
"""Time of an operation of attention against one of the weights: 4 with 135M in Q4_1, 7 with 1.5B in Q4_K_M."""
BATCH_PARAMETERS = 600_000_000  # parameters times tokens of a batch on one or two cores: 4 tokens for 135M


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


def fit_runtime(
    requested: LocalRuntime, header: gguf_header.GgufHeader, tokens_per_s: float | None = None
) -> LocalRuntime:
    """`requested` with every 0 replaced. `tokens_per_s`: at which the model read a short prompt here, if measured."""
    slots = requested.slots or (4 if header.parameters < 500_000_000 else 2)
    window = header.context or DEFAULT_CONTEXT
    threads = requested.threads or physical_cores()
    return replace(
        requested,
        slots=slots,
        context=min(requested.context, window) if requested.context else min(DEFAULT_CONTEXT, window),
        threads=threads,
        # llama.cpp needs room for one token of every slot.
        batch=max(requested.batch or _fit_batch(header, threads, tokens_per_s), slots, 2),
    )


def _fit_batch(header: gguf_header.GgufHeader, threads: int, tokens_per_s: float | None) -> int:
    """A cancel is noticed between two batches, when the next has already begun, so two batches should take less than
    CANCEL_S in the middle of DEEP tokens. Measured there, as CPU time: 135M with batches of 4 at most 180 ms, 1.5B
    with 2 at most 310. By decision 0088, other machines get more: by the pace that was measured, else by their threads.
    """
    parameters = max(1, header.parameters)
    least = min(MAX_BATCH, BATCH_PARAMETERS // parameters)
    if tokens_per_s is None:
        return min(MAX_BATCH, BATCH_PARAMETERS * max(1, threads // 2) // parameters)  # threads wait for each other
    # Operations of attention for each of the weights: 1 of 135M, .2 of 1.5B.
    attention = 2 * header.layers * header.embedding_length * DEEP / parameters
    tokens = CANCEL_S / 2 * tokens_per_s / (1 + ATTENTION_COST * attention)
    return max(least, min(MAX_BATCH, 1 << max(0, int(tokens).bit_length() - 1)))


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
    batch = max(runtime.batch, GPU_BATCH)
    whole = memory_check.estimate_memory(header, context=runtime.context, slots=runtime.slots, batch=batch)
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
