"""A double of xllamacpp on a machine with one GPU: reports it, keeps the parameters it gets, and answers `Hello`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class ggml_backend_dev_type(Enum):
    GGML_BACKEND_DEVICE_TYPE_CPU = 0
    GGML_BACKEND_DEVICE_TYPE_GPU = 1


llama_flash_attn_type = SimpleNamespace(LLAMA_FLASH_ATTN_TYPE_ENABLED=1)
llama_load_mode = SimpleNamespace(LLAMA_LOAD_MODE_NONE=0)


def get_device_info() -> list[dict[str, Any]]:
    """`FREE_GPU_BYTES` of memory are free."""
    gpu = ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_GPU
    free = int(os.environ["FREE_GPU_BYTES"])
    return [{"name": "CUDA0", "description": "Example GPU", "memory_free": free, "type": gpu}]


class CommonParams:
    def __init__(self) -> None:
        self.model = SimpleNamespace(path="")
        self.cpuparams, self.cpuparams_batch = SimpleNamespace(n_threads=0), SimpleNamespace(n_threads=0)
        self.n_gpu_layers = self.n_batch = -1


class Server:
    def __init__(self, params: CommonParams) -> None:
        Path(os.environ["PARAMS_FILE"]).write_text(f"{params.n_gpu_layers} layers, batches of {params.n_batch}")

    def handle_chat_completions(self, body: bytes, seen: Callable[[bytes], bool], /) -> None:
        delta = {"role": "assistant", "content": "Hello"}
        chunk = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": "stop"}]}
        seen(json.dumps(chunk).encode())
