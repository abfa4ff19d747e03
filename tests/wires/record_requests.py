"""The very requests that each known endpoint would get, by our own server in front of a double that only writes down.

python -m tests.wires.record_requests [NAME ...] writes tests/wires/endpoints/<name>.http anew; test_rows.py compares.
The double has the endpoint's path behind an address of this machine; in the record stands the endpoint's own address,
and our version and every key are replaced. Lines end as in the file, not as on the wire.
"""

from __future__ import annotations

import contextlib
import json
import re
import socketserver
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from sizewise import __version__
from sizewise.plugins import plugin_names
from sizewise.settings.provider_presets import provider_presets, url_variables
from sizewise.testing.preset_conformance import VALUES, base_url
from tests.running_server import Served, serving
from tests.wires.wire_cases import speaking

FOLDER = Path(__file__).with_name("endpoints")
KEY = "sk-recorded-0123456789"  # made up
ASKED: Mapping[str, object] = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}
BETWEEN = "\n\n###\n\n"


def reply(head: bytes, body: bytes) -> bytes:
    """What the vendor of the wire says to everything: tests/wires/speaking."""
    path = head.split(b" ", 2)[1].decode()
    spoken = next(each for each in map(speaking, plugin_names("wires")) if path.endswith(each.wire.chat_path))
    stream = json.loads(body).get("stream") is True
    kind, said = (b"text/event-stream", spoken.stream) if stream else (b"application/json", spoken.response)
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (kind, len(said), said)


@dataclass
class RecordingUpstream:
    """Keeps the bytes of every request."""

    url: str = ""
    seen: list[bytes] = field(default_factory=list)


@contextlib.contextmanager
def double() -> Iterator[RecordingUpstream]:
    here = RecordingUpstream()

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                head = line
                while (line := self.rfile.readline()) not in (b"\r\n", b""):
                    head += line
                length = re.search(rb"content-length: (\d+)", head)
                body = self.rfile.read(int(length[1]) if length else 0)
                here.seen.append(head + b"\r\n" + body)
                self.wfile.write(reply(head, body))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Answer) as server:
        here.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield here
        finally:
            server.shutdown()
            thread.join()


def config(url: str) -> str:
    """Every row as a provider: named, and moved to the double by its origin alone."""
    parts = ["[server]\nembedded = false\ndiscover = false\n"]
    for name, row in provider_presets().items():
        fills = "".join(f'{each} = "{VALUES[each]}"\n' for each in url_variables(row.base_url))
        path = urlsplit(base_url(row)).path
        parts.append(
            f'[providers.{name}]\nendpoint = "{name}"\nbase_url = "{url}{path}"\nmodels = ["a-model"]\n{fills}',
        )
    return "\n".join(parts)


def keys() -> dict[str, str]:
    """Each variable that a row takes its key from."""
    return {row.key.removeprefix("env:"): KEY for row in provider_presets().values() if row.key}


def record(served: Served, here: RecordingUpstream, name: str) -> str:
    """Both requests of the endpoint `name`: a chat, and the same as a stream."""
    here.seen.clear()
    for more in ({}, {"stream": True}):
        answer = served.ask("/v1/chat/completions", {"model": f"{name}/a-model", **ASKED, **more})
        assert len(here.seen) == 1 + bool(more), (name, answer.status, answer.body)
    own = urlsplit(base_url(provider_presets()[name])).netloc
    text = BETWEEN.join(each.decode().replace("\r\n", "\n") for each in here.seen)
    text = text.replace(here.url.removeprefix("http://"), own).replace(f"sizewise/{__version__}", "sizewise/VERSION")
    return text.replace(KEY, "THE-KEY") + "\n"


@contextlib.contextmanager
def recording(home: Path) -> Iterator[tuple[Served, RecordingUpstream]]:
    with double() as here, serving(home, config(here.url), **keys()) as served:
        yield served, here


def main(wanted: list[str]) -> None:
    with tempfile.TemporaryDirectory() as home, recording(Path(home)) as (served, here):
        for name in wanted or provider_presets():
            (FOLDER / f"{name}.http").write_text(record(served, here, name))
            sys.stdout.write(f"wrote {name}.http\n")


if __name__ == "__main__":
    main(sys.argv[1:])
