"""An MCP server on loopback that behaves as badly as a test wishes; knows nothing of our client."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ADD = {
    "name": "add",
    "description": "Adds.",
    "inputSchema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
}


@dataclass
class FakeMcpServer:
    """`came`: method, headers and params of every message. `forget`: drops its sessions before the next one."""

    url: str = ""
    tools: list[dict[str, Any]] = field(default_factory=lambda: [ADD])
    result: Any = field(default_factory=lambda: {"content": [{"type": "text", "text": "3"}]})
    stream: bool = False
    hang: threading.Event | None = None
    raw: bytes | None = None  # instead of an answer to tools/call
    status: int = 200
    forget: bool = False
    came: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    sessions: set[str] = field(default_factory=set)

    def methods(self) -> list[str]:
        return [method for method, _, _ in self.came]


@contextlib.contextmanager
def doubling() -> Iterator[FakeMcpServer]:
    found = FakeMcpServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["content-length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.came.append((said["method"], headers, said.get("params")))
            if found.forget:
                found.forget = False
                found.sessions.clear()
            if said["method"] != "initialize" and headers.get("mcp-session-id") not in found.sessions:
                return self._say(404, b"")
            if "id" not in said:
                return self._say(202, b"")
            more = {}
            if said["method"] == "initialize":
                session = f"s{len(found.came)}"
                found.sessions.add(session)
                more["mcp-session-id"] = session
                result: Any = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "double"}}
            elif said["method"] == "tools/list":
                result = {"tools": found.tools}
            else:
                if found.hang is not None:
                    found.hang.wait(60)
                if found.status != 200:
                    return self._say(found.status, b"", {"location": "http://127.0.0.1:1/"})
                if found.raw is not None:
                    return self._say(200, found.raw)
                result = found.result
            body = json.dumps({"jsonrpc": "2.0", "id": said["id"], "result": result}).encode()
            if found.stream:
                noise = b': hi\n\nevent: message\ndata: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n'
                body = noise + b"event: message\ndata: " + body + b"\n\n"
                more["content-type"] = "text/event-stream"
            self._say(200, body, more)

        def do_DELETE(self) -> None:
            found.sessions.discard(self.headers.get("mcp-session-id", ""))
            self._say(200, b"")

        def _say(self, status: int, body: bytes, more: dict[str, str] | None = None) -> None:
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                for name, value in ({"content-type": "application/json"} | (more or {})).items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/mcp"
    try:
        yield found
    finally:
        if found.hang is not None:
            found.hang.set()
        server.shutdown()
        thread.join()
        server.server_close()
