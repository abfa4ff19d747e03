"""Streams through nginx as it comes: every event passes at once, compressed or not, and a cut stream stays cut."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.server_harness import beside, closed_port
from tests.gateway.stepwise_upstream import CUT, END, STEPS, StepwiseOpenAI
from tests.running_server import KEY, Served, serving, until

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not here; get it with: apt-get install nginx")

CONFIG = """daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  {more}
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {url}; }} }}
}}
"""
GZIP = "gzip on; gzip_types text/event-stream; gzip_proxied any; gzip_min_length 0;"
DOORS: dict[str, tuple[str, dict[str, object]]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "go"}], "stream": True}),
    "messages": (
        "/v1/messages",
        {"messages": [{"role": "user", "content": "go"}], "stream": True, "max_tokens": 99},
    ),
    "responses": ("/v1/responses", {"input": "go", "stream": True}),
    "graphql": ("/graphql", {"query": 'subscription { ask(model: "steps/one", prompt: "go") { text } }'}),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[StepwiseOpenAI]:
    with beside(StepwiseOpenAI) as up:
        yield up


@pytest.fixture(scope="module")
def server(upstream: StepwiseOpenAI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = f"""[server]
embedded = false
discover = false
[providers.steps]
base_url = "{upstream.url}"
place = "machine"
models = ["one"]
"""
    with serving(tmp_path_factory.mktemp("steps"), config) as served:
        yield served


@contextlib.contextmanager
def nginx(folder: Path, url: str, more: str = "") -> Iterator[int]:
    """The port of an nginx in front of `url`."""
    port = closed_port()
    folder.mkdir(exist_ok=True)
    (folder / "conf").write_text(CONFIG.format(folder=folder, port=port, url=url, more=more))
    process = subprocess.Popen([NGINX or "", "-e", f"{folder}/errors", "-p", f"{folder}", "-c", f"{folder}/conf"])

    def listens() -> bool:
        assert process.poll() is None, (folder / "errors").read_text()
        with contextlib.suppress(OSError), contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as line:
            line.connect()
            return True
        return False

    try:
        until(listens)
        yield port
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module", params=["plain", "gzip"])
def proxy(request: pytest.FixtureRequest, server: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("nginx")
    with nginx(folder, server.url, GZIP if request.param == "gzip" else "") as port:
        yield port


class Reading:
    """A streamed answer as it arrives through nginx."""

    def __init__(self, port: int, door: str) -> None:
        path, body = DOORS[door]
        body = body if door == "graphql" else {"model": "steps/one", **body}
        sent = {"authorization": f"Bearer {KEY}", "content-type": "application/json", "accept-encoding": "gzip"}
        sent["accept"] = "text/event-stream"
        self._line = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self._line.request("POST", path, json.dumps(body), sent)
        self._answer: http.client.HTTPResponse | None = None
        self._seen = b""
        self._unzip = zlib.decompressobj(31)

    def until(self, word: str) -> None:
        """Reads until `word` has arrived; a timeout where it is held back."""
        while word.encode() not in self._seen:
            self._seen += self._more()

    def rest(self) -> bytes:
        with contextlib.closing(self._line):
            while more := self._more():
                self._seen += more
        return self._seen

    def header(self, name: str) -> str | None:
        assert self._answer is not None
        return self._answer.getheader(name)

    def _more(self) -> bytes:
        self._answer = self._answer or self._line.getresponse()
        data = self._answer.read1()
        return self._unzip.decompress(data) if self.header("content-encoding") == "gzip" else data


@pytest.mark.parametrize("door", DOORS)
def test_each_event_passes_nginx_before_the_next_is_sent(upstream: StepwiseOpenAI, proxy: int, door: str) -> None:
    reading = Reading(proxy, door)
    for number in range(STEPS):
        upstream.step(number)
        reading.until(f"word-{number} ")
    upstream.step(END)
    assert f"word-{STEPS - 1} " in reading.rest().decode()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_stream_that_breaks_off_reaches_no_client_as_a_whole_one(
    upstream: StepwiseOpenAI, server: Served, tmp_path: Path, version: str
) -> None:
    with nginx(tmp_path, server.url, f"proxy_http_version {version};") as port:
        reading = Reading(port, "chat")
        upstream.step(0)
        reading.until("word-0 ")
        upstream.step(CUT)
        reading.until("stream_interrupted")
        with pytest.raises(http.client.IncompleteRead):
            reading.rest()


@pytest.mark.parametrize("door", DOORS)
def test_every_stream_tells_proxies_not_to_buffer_or_transform(
    upstream: StepwiseOpenAI, server: Served, door: str
) -> None:
    upstream.step(END)
    path, body = DOORS[door]
    answer = server.ask(path, {"model": "steps/one", **body} if door != "graphql" else body, accept="text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["cache-control"].startswith("no-cache, no-transform")
