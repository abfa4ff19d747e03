"""Subscriptions at a running server, for the tests of this room: over server-sent events and over a WebSocket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from typing import Any

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.graphql.graphql_client import admin
from tests.running_server import Served

ASK = """subscription($p: String!) {
  ask(prompt: $p, model: "echo/small") { text answer { model trace choices { text finishReason } } } }"""
PROTOCOL = "graphql-transport-ws"


@contextmanager
def opened(server: Served, query: str, *, key: str = "", **variables: object) -> Iterator[HTTPResponse]:
    """The response while it streams."""
    sent = {"accept": "text/event-stream", "content-type": "application/json"}
    sent["authorization"] = f"Bearer {key or admin(server)}"
    connection = server.connection()
    try:
        connection.request("POST", "/graphql", json.dumps({"query": query, "variables": variables}), sent)
        yield connection.getresponse()
    finally:
        connection.close()


def events(response: HTTPResponse) -> Iterator[tuple[str, Any]]:
    """(event, data) as they come; data of `complete` is None."""
    name = ""
    for line in response:
        text = line.decode().rstrip("\n")
        if text.startswith("event: "):
            name = text[7:]
        elif text.startswith("data: "):
            yield name, json.loads(text[6:]) if text[6:].strip() else None


def streamed(server: Served, query: str, *, key: str = "", **variables: object) -> list[Any]:
    """The data of each event to its end."""
    with opened(server, query, key=key, **variables) as response:
        assert response.status == 200, response.read()
        return [data["data"] for name, data in events(response) if name == "next"]


@contextmanager
def socket(
    server: Served,
    payload: object = None,
    protocol: str = PROTOCOL,
    **headers: str,
) -> Iterator[ClientConnection]:
    """A connection that has said who it is, where there is a payload."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = server.url.replace("http", "ws", 1) + "/graphql"
    with connect(
        url, subprotocols=[Subprotocol(protocol)], additional_headers=named, max_queue=1, close_timeout=1
    ) as connection:
        if payload is not None:
            say(connection, "connection_init", payload=payload)
            assert hear(connection) == {"type": "connection_ack"}
        yield connection


def keyed(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def say(connection: ClientConnection, type: str, id: str = "", payload: object = None) -> None:
    message: dict[str, object] = {"type": type}
    if id:
        message["id"] = id
    if payload is not None:
        message["payload"] = payload
    connection.send(json.dumps(message))


def ask(connection: ClientConnection, id: str, words: str, query: str = ASK) -> None:
    say(connection, "subscribe", id, {"query": query, "variables": {"p": words}})


def hear(connection: ClientConnection, seconds: float = 10) -> Any:
    return json.loads(connection.recv(seconds))
