"""Fills and queries a peer's vector store with its default settings: `PYTHON store_runner.py chroma|lancedb FOLDER`."""

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

TOP, PART, BLOCK = 10, 7, 1_000


def timed(request, asked, answers, true):
    for question in range(5):
        request(question)
    times, found, right = [], 0, 0
    for place, answer in enumerate(answers):
        began = time.perf_counter()
        got = {int(id) for id in request(place)}
        times.append((time.perf_counter() - began) * 1e3)
        found += answer in got
        right += len(got & set(true[place])) if true else 0
    cuts = statistics.quantiles(times, n=100)
    recall = right / sum(map(len, true)) if true else None
    return {"p50_ms": cuts[49], "p99_ms": cuts[98], "recall": recall, "found": found / len(answers)}


def chroma(folder, said, vectors, asked):
    import chromadb
    from chromadb.config import Settings

    client = chromadb.PersistentClient(str(folder / "chroma"), settings=Settings(anonymized_telemetry=False))
    its = client.create_collection("bench", metadata={"hnsw:space": "cosine"}, embedding_function=None)
    began = time.perf_counter()
    for first in range(0, len(vectors), BLOCK):
        block = range(first, min(first + BLOCK, len(vectors)))
        its.add(
            ids=[str(n) for n in block],
            embeddings=vectors[first : first + BLOCK],
            documents=[said["texts"][n] for n in block],
            metadatas=[{"part": said["parts"][n]} for n in block],
        )
    put = time.perf_counter()

    def near(place, where=None):
        return its.query(query_embeddings=[asked[place]], n_results=TOP, where=where)["ids"][0]

    return {
        "store": f"Chroma {chromadb.__version__}",
        "put_s": put - began,
        "index_s": 0.0,
        "near": timed(near, asked, said["answers"], said["true"]),
        "filtered": timed(lambda place: near(place, {"part": PART}), asked, said["answers"], said["true_part"]),
        "hybrid": None,
    }


def lancedb(folder, said, vectors, asked):
    import lancedb
    import pyarrow as pa

    client = lancedb.connect(folder / "lance")
    size = vectors.shape[1]
    schema = pa.schema(
        [("id", pa.int64()), ("vector", pa.list_(pa.float32(), size)), ("part", pa.int64()), ("text", pa.string())],
    )
    its = client.create_table("bench", schema=schema)
    began = time.perf_counter()
    for first in range(0, len(vectors), BLOCK):
        block = range(first, min(first + BLOCK, len(vectors)))
        its.add([{"id": n, "vector": vectors[n], "part": said["parts"][n], "text": said["texts"][n]} for n in block])
    put = time.perf_counter()
    its.create_index(metric="cosine", vector_column_name="vector", index_type="IVF_HNSW_SQ")
    its.create_scalar_index("part")
    its.create_fts_index("text", use_tantivy=False)
    its.optimize()
    done = time.perf_counter()

    def near(place, part=None):
        query = its.search(asked[place], vector_column_name="vector").metric("cosine").select(["id"]).limit(TOP)
        query = query if part is None else query.where(f"part = {part}", prefilter=True)
        return [row["id"] for row in query.to_list()]

    def hybrid(place):
        query = its.search(query_type="hybrid", vector_column_name="vector").vector(asked[place])
        return [row["id"] for row in query.text(said["questions"][place]).select(["id"]).limit(TOP).to_list()]

    return {
        "store": f"LanceDB {lancedb.__version__}",
        "put_s": put - began,
        "index_s": done - put,
        "near": timed(near, asked, said["answers"], said["true"]),
        "filtered": timed(lambda place: near(place, PART), asked, said["answers"], said["true_part"]),
        "hybrid": timed(hybrid, asked, said["answers"], None),
    }


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    row = {"chroma": chroma, "lancedb": lancedb}[sys.argv[1]](
        folder,
        json.loads((folder / "said.json").read_text()),
        np.load(folder / "vectors.npy"),
        np.load(folder / "asked.npy"),
    )
    place = folder / {"chroma": "chroma", "lancedb": "lance"}[sys.argv[1]]
    row["disk_mb"] = sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) / 1e6
    print(json.dumps(row))
