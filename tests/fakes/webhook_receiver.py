"""A receiver of webhooks on loopback, for tests: keeps what came, answers by a script; knows nothing of our sender."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class WebhookReceiver:
    """`statuses` are answered in turn, the last of them for ever; 0 hangs up without a word."""

    statuses: Sequence[int] = (204,)
    url: str = ""
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def heard(self) -> int:
        return len(self.came)


@contextlib.contextmanager
def receiving(*statuses: int) -> Iterator[WebhookReceiver]:
    found = WebhookReceiver(statuses or (204,))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = found.statuses[min(len(found.came), len(found.statuses) - 1)]
            found.came.append(({name.lower(): value for name, value in self.headers.items()}, body))
            found.paths.append(self.path)
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/hooks/here"
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
