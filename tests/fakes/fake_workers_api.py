"""A double of Cloudflare's API for Workers, as far as `sizewise edge` uses it, with the errors that it is told to have.

Shapes and codes are those of its documentation; nothing here has asked the real one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "token-of-the-account"


@dataclass
class FakeAccount:
    """`fails`: the last part of a path -> status and error code. `health`: what /health says."""

    url: str = ""
    versions: list[bytes] = field(default_factory=list)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    fails: dict[str, tuple[int, int]] = field(default_factory=dict)
    health: str = ""

    def answer(self, method: str, path: str, token: str, body: bytes) -> tuple[int, dict[str, Any]]:
        if path == "/health":
            return 200, {"status": "ok", "build": self.health or self._live()}
        if token != f"Bearer {TOKEN}":
            return _failed(403, 10000, "Authentication error")
        last = path.rsplit("/", 1)[1]
        if path.endswith("/content/v2"):
            return _failed(404, 10007, "none") if not self.versions else (0, {})
        if last in self.fails:
            return _failed(*self.fails[last], "no")
        if last == "versions":
            if not self.versions:
                return _failed(404, 10007, "This Worker does not exist on your account.")
            self.versions.append(body)
            return _done({"id": f"v{len(self.versions)}"})
        if last == "deployments" and method == "POST":
            self.deployments.insert(
                0, {"id": "d", "created_on": f"2026-11-29T00:00:0{len(self.deployments)}Z", **json.loads(body)}
            )
            return _done({})
        if last == "deployments":
            return _done({"deployments": self.deployments}) if self.versions else _failed(404, 10007, "none")
        if "/storage/kv/" in path and "/values/" not in path:
            return self._kv(last.partition("?")[0], body)
        if "/values/" in path:
            self.values[last] = body.decode()
            return _done({})
        self.versions.append(body)
        self.deployments.insert(0, {"id": "d", "created_on": "", "versions": [{"version_id": "v1", "percentage": 100}]})
        return _done({"id": "worker"})

    def live_form(self) -> bytes:
        """The modules of the live version, as they were uploaded."""
        return self.versions[int(self.deployments[0]["versions"][0]["version_id"][1:]) - 1]

    def _kv(self, last: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Bulk writes and removals, and the names of all values on one page."""
        if last == "keys":
            names = [{"name": name, "metadata": self.metadata.get(name)} for name in self.values]
            return 200, {"success": True, "errors": [], "result": names, "result_info": {"count": 1, "cursor": ""}}
        if last == "delete":
            for name in json.loads(body):
                self.values.pop(name, None)
            return _done({})
        for each in json.loads(body):
            self.values[each["key"]] = each["value"]
            self.metadata[each["key"]] = each["metadata"]
        return _done({})

    def _live(self) -> str:
        """The build that the live version holds."""
        if not self.deployments:
            return ""
        number = int(self.deployments[0]["versions"][0]["version_id"][1:])
        _, _, rest = self.versions[number - 1].partition(b'"build":"')
        return rest.partition(b'"')[0].decode()


def _done(result: object) -> tuple[int, dict[str, Any]]:
    return 200, {"success": True, "errors": [], "result": result}


def _failed(status: int, code: int, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"success": False, "errors": [{"code": code, "message": message}], "result": None}


@contextmanager
def fake_account() -> Iterator[FakeAccount]:
    account = FakeAccount()

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            status, said = account.answer(self.command, self.path, self.headers.get("authorization", ""), body)
            data, kind = json.dumps(said).encode(), "application/json"
            if not status:  # the modules
                status, data = 200, account.live_form()
                kind = f"multipart/form-data; boundary={data[2:34].decode()}"
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = _any

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    account.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield account
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()
