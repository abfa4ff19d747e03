"""A server with a knowledge base on an echo that makes vectors, and what is asked of it; judges nothing."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from tests.graphql.graphql_client import GraphQLAnswer, graphql
from tests.running_server import Served

CONFIG = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "vectors"]
[models."echo/vectors"]
task = "embed"
"""
ADD = """mutation ($base: String!, $source: String!, $data: String, $text: String, $url: String, $sha256: String,
    $readers: [String!], $dataClass: DataClass, $title: String) {
  addDocument(base: $base, source: $source, data: $data, text: $text, url: $url, sha256: $sha256, readers: $readers,
      dataClass: $dataClass, title: $title) { id outcome passages quarantined notes }
}"""
EMBED = "mutation ($base: String!) { embedDocuments(base: $base) { embedded waiting } }"
SEARCH = """query ($base: String!, $q: String!, $limit: Int, $mode: SearchMode, $most: DataClass) {
  passages(base: $base, query: $q, limit: $limit, mode: $mode, maxDataClass: $most) {
    results { text source title page pages headings score start end dataClass suspect citation document } warnings
  }
}"""
REBUILD = """mutation ($base: String!, $all: Boolean! = false, $dryRun: Boolean! = false, $after: String! = "") {
  rebuildKnowledge(base: $base, all: $all, dryRun: $dryRun, after: $after) {
    checked missing total model previousModel next
  }
}"""
LIST = """query ($base: String!) {
  documents(base: $base) { id source title kind state dataClass readers pages notes }
}"""
BASES = "{ knowledge { name model documents passages waiting quarantined missing } }"


def add(server: Served, source: str, said: str | bytes, base: str = "handbook", key: str = "", **more: object) -> Any:
    """Written down; not embedded yet. Gives what became of it."""
    words = {"data": base64.b64encode(said).decode()} if isinstance(said, bytes) else {"text": said}
    answer = graphql(server, ADD, key=key, base=base, source=source, **words, **more)
    assert answer.errors == [], answer.errors
    return answer.data["addDocument"]


def embed(server: Served, base: str = "handbook", key: str = "") -> int:
    """All that waits. How many passages that were."""
    done = 0
    while True:
        answer = graphql(server, EMBED, key=key, base=base)
        assert answer.errors == [], answer.errors
        done += int(answer.data["embedDocuments"]["embedded"])
        if not answer.data["embedDocuments"]["waiting"]:
            return done


def search(server: Served, query: str, base: str = "handbook", key: str = "", **more: object) -> list[Any]:
    answer = graphql(server, SEARCH, key=key, base=base, q=query, **more)
    assert answer.errors == [], answer.errors
    found: list[Any] = answer.data["passages"]["results"]
    return found


def warnings(server: Served, query: str, base: str = "handbook", key: str = "") -> list[str]:
    """What a search by words says beside its results."""
    answer = graphql(server, SEARCH, key=key, base=base, q=query, mode="words")
    assert answer.errors == [], answer.errors
    said: list[str] = answer.data["passages"]["warnings"]
    return said


def refused(server: Served, query: str, base: str = "handbook", key: str = "") -> GraphQLAnswer:
    return graphql(server, SEARCH, key=key, base=base, q=query)


def listed(server: Served, base: str = "handbook", key: str = "") -> list[Any]:
    answer = graphql(server, LIST, key=key, base=base)
    assert answer.errors == [], answer.errors
    found: list[Any] = answer.data["documents"]
    return found


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def everything(home: Path) -> bytes:
    """Every byte of every file of a home."""
    return b"".join(path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file())
