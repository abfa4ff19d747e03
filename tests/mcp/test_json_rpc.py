"""JSON-RPC and HTTP rules of /mcp: codes of errors, ids, protocol versions and pages of other sites."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running_server import ECHO, Served, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = ECHO.replace("[server]", '[server]\nallowed_hosts = ["ours.example"]')
    with serving(tmp_path_factory.mktemp("rpc"), config) as found:
        yield found


def message(**fields: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 7, "method": "ping"} | fields).encode()


WITHOUT_ID = b'{"jsonrpc": "2.0", "method": "ping"}'
BAD = {
    "empty": (b"", -32700, 400),
    "half": (b'{"jsonrpc": "2.0", "id": 1', -32700, 400),
    "not UTF-8": (b'{"jsonrpc": "2.0", "id": "\xff", "method": "ping"}', -32700, 400),
    "byte order mark": (b"\xef\xbb\xbf" + message(), -32700, 400),
    "NaN": (b'{"jsonrpc": "2.0", "id": NaN, "method": "ping"}', -32700, 400),
    "deep": (b"[" * 100_000 + b"]" * 100_000, -32600, 400),
    "text": (b'"ping"', -32600, 400),
    "number": (b"1", -32600, 400),
    "null": (b"null", -32600, 400),
    "batch": (b"[" + message() + b"," + message(id=8) + b"]", -32600, 400),
    "empty batch": (b"[]", -32600, 400),
    "no version": (b'{"id": 7, "method": "ping"}', -32600, 400),
    "version 1": (message(jsonrpc="1.0"), -32600, 400),
    "version as number": (message(jsonrpc=2.0), -32600, 400),
    "id null": (message(id=None), -32600, 400),
    "id true": (message(id=True), -32600, 400),
    "id 1.5": (message(id=1.5), -32600, 400),
    "id object": (message(id={}), -32600, 400),
    "id list": (message(id=[1]), -32600, 400),
    "id long": (message(id="x" * 201), -32600, 400),
    "id beyond 64 bits": (message(id=2**70), -32600, 400),
    "method missing": (b'{"jsonrpc": "2.0", "id": 7}', -32600, 400),
    "method number": (message(method=1), -32600, 400),
    "method empty": (message(method=""), -32600, 400),
    "method twice": (b'{"jsonrpc": "2.0", "id": 7, "method": "ping", "method": "tools/list"}', -32600, 400),
    "params list": (message(params=[1]), -32602, 400),
    "params text": (message(params="x"), -32602, 400),
    "unknown method": (message(method="no/such"), -32601, 200),
    "unknown tool": (message(method="tools/call", params={"name": "no"}), -32602, 200),
    "name number": (message(method="tools/call", params={"name": 1}), -32602, 200),
    "cursor number": (message(method="tools/list", params={"cursor": 1}), -32602, 200),
}


@pytest.mark.parametrize(("body", "code", "status"), BAD.values(), ids=BAD)
def test_each_mistake_has_the_code_of_json_rpc(served: Served, body: bytes, code: int, status: int) -> None:
    answer = served.ask("/mcp", body, content_type="application/json")
    shown = json.loads(answer.body)
    assert (answer.status, shown["error"]["code"], shown["jsonrpc"]) == (status, code, "2.0"), shown
    assert shown["error"]["message"] and "result" not in shown
    assert shown["id"] == (7 if status == 200 else None)
    assert answer.headers["content-type"] == "application/json" and len(answer.headers["x-sizewise-trace"]) == 32


@pytest.mark.parametrize("id", [0, -1, 2**53, "a", "", "7"])
def test_an_id_comes_back_as_it_was(served: Served, id: object) -> None:
    shown = json.loads(served.ask("/mcp", message(id=id)).body)
    assert shown == {"jsonrpc": "2.0", "id": id, "result": {}}


@pytest.mark.parametrize(
    "body",
    [
        WITHOUT_ID,
        b'{"jsonrpc": "2.0", "method": "no/such"}',
        b'{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}',
        b'{"jsonrpc": "2.0", "id": 1, "result": {}}',
        b'{"jsonrpc": "2.0", "id": 1, "error": {"code": -1, "message": "no"}}',
    ],
)
def test_a_notification_and_a_response_are_accepted_without_an_answer(served: Served, body: bytes) -> None:
    answer = served.ask("/mcp", body, content_type="application/json")
    assert (answer.status, answer.body) == (202, b"")


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_a_protocol_version_that_we_speak_is_served(served: Served, version: str) -> None:
    assert served.ask("/mcp", message(), mcp_protocol_version=version).status == 200


@pytest.mark.parametrize("version", ["2099-01-01", "2026-07-28", "", "latest", "2025-06-18, 2025-11-25", "x" * 9_000])
def test_an_unknown_protocol_version_is_400_and_names_those_we_speak(served: Served, version: str) -> None:
    for body in (message(), WITHOUT_ID):
        answer = served.ask("/mcp", body, mcp_protocol_version=version)
        error = json.loads(answer.body)["error"]
        assert (answer.status, error["code"]) == (400, -32022) and "2025-11-25" in error["data"]["supported"]
        assert len(answer.body) < 1_000


def test_a_client_that_proposes_an_unknown_version_is_greeted_with_one_that_we_speak(served: Served) -> None:
    body = message(method="initialize", params={"protocolVersion": "2099-01-01"})
    answer = served.ask("/mcp", body, mcp_protocol_version="2099-01-01")
    assert json.loads(answer.body)["result"]["protocolVersion"] == "2025-11-25"


FOREIGN = [
    "https://evil.example",
    "http://evil.example:80",
    "null",
    "",
    "file://",
    "https://127.0.0.1.evil.example",
    "https://ours.example.evil.example",
    "http://evil.example@localhost.evil.example",
    "not an origin",
    "http://[::1",
]


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("method", ["ping", "initialize", "tools/list"])
def test_a_page_of_another_site_is_403(served: Served, origin: str, method: str) -> None:
    answer = served.ask("/mcp", message(method=method), Origin=origin)
    assert answer.status == 403, answer.body
    assert json.loads(answer.body)["error"]["data"]["code"] == "forbidden"
    assert "access-control-allow-origin" not in answer.headers


def test_our_own_pages_and_those_of_allowed_hosts_may_call(served: Served) -> None:
    origins = (
        served.url,
        "http://localhost:6274",
        "http://127.0.0.1:1",
        "https://ours.example",
        "https://ours.example:444",
    )
    for origin in origins:
        assert served.ask("/mcp", message(), Origin=origin).status == 200, origin


@pytest.mark.long
def test_a_server_on_every_address_serves_pages_of_its_own_host_alone(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO, "--host", "0.0.0.0") as found:
        port = found.url.rpartition(":")[2]
        found.url = f"http://127.0.0.1:{port}"
        assert found.ask("/mcp", message(), Origin=f"http://127.0.0.1:{port}").status == 200
        assert found.ask("/mcp", message(), Origin="http://other.example").status == 403
