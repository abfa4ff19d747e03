"""The fake Weaviate answers as a real one did: 363 recorded exchanges, replayed in order.

Recorded on 27 November 2026 between weaviate-client 4.24.1 and a Weaviate server built from its main branch of
20 August 2026 (1.40.0-dev; one node, no modules), over REST and gRPC. Our own recording; it has no data of others.
"""

from __future__ import annotations

import gzip
import http.client
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("weaviate", reason="needs the extra weaviate: pip install weaviate-client")

from tests.fakes.fake_weaviate import FakeWeaviate, grpc_caller

RECORDED = Path(__file__).with_name("weaviate_exchanges.jsonl.gz")
MASKED = frozenset({"took", "version", "hostname", "modules"})
"""What differs between two servers of the same kind."""
TOLERANCE = 1e-3
KEYS: dict[str, Callable[[int], str]] = {"probe.key": lambda n: "" if n < 4 else "wrong"}
"""Chapters asked of a server with a key: the key that was sent with each exchange of the chapter."""


def exchanges() -> Iterator[tuple[int, dict[str, Any]]]:
    """Each with its number in its chapter."""
    chapters = Counter[str]()
    with gzip.open(RECORDED, "rt") as lines:
        for line in lines:
            exchange = json.loads(line)
            yield chapters[exchange["chapter"]], exchange
            chapters[exchange["chapter"]] += 1


def masked(value: object) -> object:
    """Without what may differ. Results by id: the order of equal ones is the server's affair."""
    if isinstance(value, dict):
        kept: dict[str, Any] = {name: masked(each) for name, each in value.items() if name not in MASKED}
        for name in ("distance", "score"):  # the JSON of a message leaves out what is 0
            if f"{name}_present" in kept:
                kept.setdefault(name, 0.0)
        if isinstance(kept.get("results"), list):
            kept["results"] = {each["metadata"]["id"]: each for each in kept["results"]}
        return kept
    return [masked(each) for each in value] if isinstance(value, list) else value


def alike(one: object, other: object) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        both = isinstance(one, (int, float)) and isinstance(other, (int, float))
        return both and abs(float(one) - float(other)) <= TOLERANCE  # type: ignore[arg-type]  # checked by `both`
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return one == other


def in_order(results: list[Any]) -> bool:
    """Best first, as a client relies on."""
    scores = [-each["metadata"].get("score", 0.0) for each in results]
    distances = [each["metadata"].get("distance", 0.0) for each in results]
    return scores == sorted(scores) and distances == sorted(distances)


def replayed(double: FakeWeaviate, exchange: dict[str, Any], key: str) -> tuple[object, object]:
    """Status and reply of the double."""
    if exchange["wire"] == "grpc":
        return grpc_caller(double.grpc, exchange["method"], exchange["request"], key)
    address = urlsplit(double.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    body = None if exchange["request"] is None else json.dumps(exchange["request"])
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
    connection.request(exchange["method"], exchange["path"], body, headers)
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    return answer.status, json.loads(said) if said else None


def test_the_double_answers_as_the_real_server_did() -> None:
    differ, total = list[str](), 0
    with FakeWeaviate() as open_double, FakeWeaviate(key="sesame") as locked_double:
        for number, exchange in exchanges():
            total += 1
            key = KEYS.get(exchange["chapter"])
            double = open_double if key is None else locked_double
            status, reply = replayed(double, exchange, key(number) if key else "")
            ordered = not isinstance(reply, dict) or in_order(reply.get("results", []))
            if not (status == exchange["status"] and ordered and alike(masked(reply), masked(exchange["reply"]))):
                differ.append(
                    f"{exchange['n']} {exchange['chapter']} {exchange['method']}: {status} {reply!r:.600}"
                    f"\n    not {exchange['status']} {exchange['reply']!r:.600}"
                )
    sys.stdout.write(f"{total - len(differ)} of {total} exchanges alike\n")
    assert not differ, f"{total - len(differ)} of {total} alike\n" + "\n".join(differ)
    assert total == 363
