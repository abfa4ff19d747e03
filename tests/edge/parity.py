"""Asks the gateway and a Worker the same, and compares: status, chosen model, words, masked text, and errors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sizewise.routing.quality.predictor import encode_predictor
from sizewise.testing.upstream import ReceivedRequests
from tests.edge.echoing_upstream import echoing_upstream
from tests.edge.parity_corpus import PREDICTOR, SETTINGS, ParityCase, cases
from tests.edge.running_worker import worker
from tests.running_server import Answer, Served, serving

HEADERS = ("x-sizewise-model", "x-sizewise-why", "x-sizewise-attempts", "x-sizewise-guards", "x-sizewise-cost-usd")
PROOF = ("status", "x-sizewise-model", "words", "sent")
"""What has to be the same, unless a difference is explained."""


@dataclass(frozen=True)
class Difference:
    case: ParityCase
    what: str
    gateway: object
    edge: object


def compare(folder: Path) -> tuple[Counter[str], list[Difference]]:
    """How many requests of each group, and what differed."""
    groups: Counter[str] = Counter()
    differences: list[Difference] = []
    with echoing_upstream() as up, echoing_upstream() as near, echoing_upstream() as here:
        predictor = folder / "predictor.json"
        predictor.write_bytes(encode_predictor(PREDICTOR))
        config = SETTINGS.format(url=up.url, near=near.url, here=here.url, predictor=predictor)
        received = [each.received for each in (up, near, here)]
        with serving(folder / "gateway", config) as gateway, worker(folder / "edge", config) as edge:
            for case in cases():
                groups[case.group] += 1
                seen = [_observed(server, case, received) for server in (gateway, edge)]
                differences += [
                    Difference(case, what, seen[0].get(what), seen[1].get(what))
                    for what in {**seen[0], **seen[1]}
                    if seen[0].get(what) != seen[1].get(what)
                ]
    return groups, differences


def _observed(server: Served, case: ParityCase, received: Sequence[ReceivedRequests]) -> Mapping[str, Any]:
    for each in received:
        each.bodies.clear()
    headers = {name.replace("-", "_"): value for name, value in case.headers.items()}
    answer = server.ask(case.path, case.body, key=case.key, method=case.method, **headers)  # type: ignore[arg-type]  # none is named timeout
    sent = [_sent(body) for each in received for body in each.bodies]
    if case.path == "/v1/decisions":  # its questions are asked at once
        sent.sort(key=json.dumps)
    seen: dict[str, Any] = {"status": answer.status, "sent": sent}
    seen |= {name: answer.headers.get(name) for name in HEADERS if name in answer.headers}
    return {**seen, **dict(_said(answer, case))}


def _sent(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a provider got, but for the order of its fields."""
    return {name: value for name, value in sorted(body.items()) if value is not False}


CHAT = "/v1/chat/completions"


def _said_in_events(events: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, object]]:
    """Of Anthropic's API and of the Responses API: the words, and the order of what came around them."""
    deltas = [event["delta"] for event in events if event["type"].endswith("delta") and "delta" in event]
    yield "words", "".join(each if isinstance(each, str) else each.get("text", "") for each in deltas)
    kinds = [event["type"] for event in events if not event["type"].endswith("ping")]
    yield "events", [kind for place, kind in enumerate(kinds) if kinds[place - 1 : place] != [kind]]
    yield "error", next((event.get("error", event).get("code") for event in events if event["type"] == "error"), None)


def _said(answer: Answer, case: ParityCase) -> Iterator[tuple[str, object]]:
    if "event-stream" in answer.headers.get("content-type", ""):
        events = [line[6:] for line in answer.body.decode().splitlines() if line.startswith("data: ")]
        chunks = [json.loads(each) for each in events if each != "[DONE]"]
        if case.path != CHAT:
            yield from _said_in_events(chunks)
            return
        deltas = [choice["delta"] for chunk in chunks for choice in chunk.get("choices", ())]
        yield "words", "".join(each.get("content") or "" for each in deltas)
        yield "complete", events[-1:] == ["[DONE]"]
        yield "error", next((chunk["error"]["code"] for chunk in chunks if chunk.get("error")), None)
        yield (
            "sizewise",
            {
                name: value
                for chunk in chunks
                for name, value in chunk.get("sizewise", {}).items()
                if name not in ("trace", "x")
            },
        )
        return
    try:
        body = json.loads(answer.body)
    except ValueError:
        yield "words", answer.body.decode(errors="replace")
        return
    if isinstance(body, dict) and body.get("error"):
        error = body["error"]
        yield "code", error.get("code")
        yield "param", error.get("param")
        yield "message", error.get("message")
    elif isinstance(body, dict) and "choices" in body:
        yield "words", [choice["message"]["content"] for choice in body["choices"]]
    elif case.path == "/v1/messages":
        yield "words", [{**block, "id": ""} for block in body["content"]]
        yield "usage", body["usage"]
        yield "finish", (body["stop_reason"], body["stop_details"])
    elif case.path == "/v1/decisions":
        yield "words", [body["answers"], body["model"], body["sizewise"]]
        yield "usage", body["usage"]
    elif case.path == "/v1/responses":
        yield "words", [part["text"] for item in body["output"] for part in item["content"]]
        yield "usage", body["usage"]
        yield "finish", (body["status"], sorted(body), body["incomplete_details"])
    elif isinstance(body, dict) and body.get("object") == "list":
        yield "words", [each["id"] for each in body["data"]]
    else:
        yield "words", {name: value for name, value in body.items() if name != "created"}
