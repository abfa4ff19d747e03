"""CPU time of a prompt of 4,000 tokens by the batch in which a local model reads it; prints the table of README.md.

python -m bench.context.batches smollm2-135m 4 16 32 64
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

from sizewise.providers.local.llamacpp_worker import LoadOptions, load_server
from tests.conftest import weights

TOKENS = 4_000
PACE_OF = 3_000  # tokens
WORDS = ("the", "gateway", "sends", "each", "question", "to", "a", "small", "model", "that", "answers", "it", "well")


def options_of(file: str, batch: int, folder: str) -> LoadOptions:
    """One slot and one thread, whose CPU time is that of a quiet clock."""
    said = {"model": file, "name": "local/model", "context": 8_192, "slots": 1, "threads": 1, "folder": folder}
    said |= {"batch": batch, "gpu_batch": batch, "gpu_layers": 0, "size": [1, 0, 0]}
    return LoadOptions(json.dumps(said).encode())


def read_prompt(file: str, batch: int) -> None:
    draw, seen = random.Random(1), list[tuple[int, float]]()
    text = " ".join(draw.choice(WORDS) for _ in range(TOKENS))

    def note(chunk: bytes) -> bool:
        progress = json.loads(chunk).get("prompt_progress")
        if progress:
            seen.append((progress["processed"], time.process_time()))
        return bool(progress) and progress["processed"] >= TOKENS

    body = {"messages": [{"role": "user", "content": text}], "max_tokens": 1, "stream": True, "return_progress": True}
    with tempfile.TemporaryDirectory() as folder:
        server, _ = load_server(options_of(file, batch, folder))
        server.handle_chat_completions(json.dumps(body).encode(), note)
    began = seen[0]
    read, spent = next((tokens, at) for tokens, at in seen if tokens >= PACE_OF)
    middle, end = (
        max((later - at for (tokens, at), (_, later) in pairwise(seen) if low <= tokens < low + 300), default=0.0)
        for low in (TOKENS // 2, TOKENS - 300)
    )
    pace = (read - began[0]) / (spent - began[1])
    print(f"| {batch} | {pace:.0f} | {2_000 * middle:,.0f} | {2_000 * end:,.0f} |", flush=True)
    sys.stdout.flush()
    os._exit(0)  # llama.cpp's own shutdown waits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("batches", type=int, nargs="+")
    options = parser.parse_args()
    file: Path = weights(options.model)
    print(f"{options.model}, one thread\n| batch | tokens per CPU second, first {PACE_OF:,} | worst cancel, ms |")
    print("|---:|---:|---:|---:|", flush=True)
    for batch in options.batches:
        child = get_context("spawn").Process(target=read_prompt, args=(str(file), batch))
        child.start()
        child.join()


if __name__ == "__main__":
    main()
