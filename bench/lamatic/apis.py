"""The APIs that flows call, on this machine: a TLS server under their own names, which a proxy leads every call to."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from tests.certificates import Authority

PAGE = {"markdown": "# Tea\n\nTea is hot.", "html": "<h1>Tea</h1>", "metadata": {"title": "Tea", "statusCode": 200}}
HIT = {"title": "Tea", "link": "https://tea.example/", "snippet": "Tea is hot.", "position": 1}
SCRAPED = {"success": True, "data": PAGE}
SEARCHED = {"searchParameters": {"q": "tea"}, "organic": [HIT], "news": [HIT], "shopping": [HIT], "images": [HIT]}
KNOWN: Mapping[str, Mapping[str, Any]] = {"api.firecrawl.dev": SCRAPED, "google.serper.dev": SEARCHED}
"""Answers in the shape of the API's documentation."""


class Apis(Struct):
    """`settings`: tables that lead a server here. `calls`: `METHOD URL` of each call that came."""

    settings: str
    calls: list[str]


@contextlib.contextmanager
def serving_apis(folder: Path, answers: Mapping[str, Any]) -> Iterator[Apis]:
    """`answers`: by host, what each answers every call with, unless its shape is known."""
    calls: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        def answer(self) -> None:
            host = self.headers["host"].partition(":")[0]
            self.rfile.read(int(self.headers.get("content-length") or 0))
            calls.append(f"{self.command} https://{host}{urlsplit(self.path).path}")
            body = json.dumps(KNOWN.get(host) or answers.get(host) or {}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    authority = Authority(folder)
    pair = authority.signs("apis", hosts=sorted(answers))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server,
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), _tunnel(server.server_port)) as proxy,
    ):
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threads = [threading.Thread(target=each.serve_forever) for each in (server, proxy)]
        for each in threads:
            each.start()
        try:
            lines = f'[network]\nca = "{authority.file}"\nproxy = "http://127.0.0.1:{proxy.server_address[1]}"\n'
            yield Apis(lines, calls)
        finally:
            for running in (server, proxy):
                running.shutdown()
            for each in threads:
                each.join()


def _tunnel(port: int) -> type[socketserver.StreamRequestHandler]:
    """CONNECT, to `port` of this machine whatever the name."""

    class Tunnel(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as other:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                pairs: Sequence[socket.socket] = (self.connection, other)
                while True:
                    for each in select.select(pairs, [], [])[0]:
                        data = each.recv(65_536)
                        if not data:
                            return
                        (other if each is self.connection else self.connection).sendall(data)

    return Tunnel
