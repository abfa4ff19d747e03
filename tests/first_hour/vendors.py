"""Every other machine of the pages: in a network of its own each name is this one, where a double answers every API.

Models echo, or fill in a schema; search engines find two pages; receivers accept. It shows that what a page configures
is accepted and asked in the right shape, not what a vendor answers.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.certificates import Authority
from tests.fakes.fake_search_engines import PAGE, FakeSearchEngines
from tests.fakes.media_upstream import AUDIO, PICTURE, TEXT
from tests.first_hour import git_host

Json = dict[str, Any]
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
OUTPUT_USAGE = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
HERE = "127.0.0.1"


@contextlib.contextmanager
def every_name_is_here(folder: Path, published: Path, plain_ports: tuple[int, ...] = ()) -> Iterator[Path]:
    """The file of the authority to trust. `published`: a folder whose files each site has.

    Call it in a network of its own: it listens at the ports 53 and 443.
    """
    authority = Authority(folder)
    Double.published, Double.repositories = published, folder
    with contextlib.ExitStack() as closing:
        closing.callback(_name_server().close)
        closing.callback(_listen(443, _tls(authority)))
        for port in plain_ports:
            closing.callback(_listen(port, None))
        yield authority.file


def _name_server() -> socket.socket:
    """Answers each question for an IPv4 address with this machine's, and others with nothing."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("", 53))

    def work() -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                asked, whom = server.recvfrom(4096)
                end = asked.index(b"\0", 12) + 5
                is_ipv4 = asked[end - 4 : end - 2] == b"\0\1"
                found = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(HERE) if is_ipv4 else b""
                server.sendto(asked[:2] + b"\x81\x80\0\1\0%c\0\0\0\0" % is_ipv4 + asked[12:end] + found, whom)

    threading.Thread(target=work, daemon=True).start()
    return server


def _tls(authority: Authority) -> ssl.SSLContext:
    """With a certificate for whatever name a client asks for."""

    @cache
    def made(name: str) -> ssl.SSLContext:
        pair = authority.signs(name, hosts=[name])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.cert, pair.key)
        return context

    lock = threading.Lock()

    def context(name: str) -> ssl.SSLContext:
        with lock:
            return made(name)

    def choose(asked: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        asked.context = context(name or "localhost")

    first = context("localhost")
    first.sni_callback = choose
    return first


def _listen(port: int, tls: ssl.SSLContext | None) -> Any:
    server = ThreadingHTTPServer(("", port), Double)
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close() -> None:
        server.shutdown()
        server.server_close()

    return close


class Double(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    repositories = Path("/nowhere")
    published = Path("/nowhere")  # what the reader has put on a web server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if ".git/" in parts.path:
            return self._send_git(b"")
        if parts.path.endswith("/pulls"):
            return self._send_json([])
        if parts.path.endswith("/models"):
            rows = [
                {"id": name, "object": "model", "created": 1, "owned_by": "v"} for name in ("big-model", "qwen3:4b")
            ]
            return self._send_json({"object": "list", "data": rows})
        if old := OLD_EVALS.get(parts.path.rpartition("/")[2]):
            return self._send_json({"object": "list", "data": old, "has_more": False})
        if parts.path == "/res/v1/web/search":
            return self._send_json(FakeSearchEngines().brave(parse_qs(parts.query)["q"][0]))
        if (published := self.published / Path(parts.path).name).is_file():
            return self._send(published.read_bytes(), "application/octet-stream")
        if parts.path.endswith((".html", "/")):
            return self._send(PAGE.encode(), "text/html")
        self.send_error(404)

    def do_POST(self) -> None:
        data, path = self._body(), urlsplit(self.path).path
        if ".git/" in path:
            return self._send_git(data)
        if path.endswith("/pulls"):
            return self._send_json({"number": 12, "html_url": "https://github.com/acme/assistant/pull/12"}, 201)
        if path == "/search":
            return self._send_json(FakeSearchEngines().searxng(parse_qs(data.decode())["q"][0]))
        if path.endswith("/audio/transcriptions"):
            return self._send_json({"text": TEXT, "usage": {"type": "duration", "seconds": 12}})
        if path.endswith("/audio/speech"):
            return self._send(AUDIO, "audio/mpeg")
        answer = next((make for end, make in ANSWERS.items() if path.endswith(end)), None)
        if answer is None:  # a receiver of messages
            return self._send(b"ok", "text/plain")
        body = json.loads(data)
        if body.get("stream") and path.endswith("/chat/completions"):
            return self._send(_chat_stream(body), "text/event-stream")
        self._send_json(answer(body))

    def _body(self) -> bytes:
        if "content-length" in self.headers:
            return self.rfile.read(int(self.headers["content-length"]))
        read = b""
        while size := int(self.rfile.readline(), 16):
            read += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return read

    def _send_git(self, body: bytes) -> None:
        status, headers, answer = git_host.answer(self.repositories, self.command, self.path, dict(self.headers), body)
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _send_json(self, value: object, status: int = 200) -> None:
        self._send(json.dumps(value).encode(), "application/json", status)

    def _send(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _said(body: Json) -> str:
    """What it answers: the last message, or the least that fits the schema."""
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        return json.dumps(_least(form["json_schema"]["schema"]))
    content = body["messages"][-1]["content"]
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return _verdict(text) or _sum(text) or text


def _sum(text: str) -> str:
    found = re.search(r"(?:What|How much) is (\d+) \+ (\d+)\?", text)
    return str(int(found[1]) + int(found[2])) if found else ""


def _verdict(text: str) -> str:
    """Of a judge that can add: a word of the scale; "" where it is not asked for one."""
    scale = re.search(r"nothing else: (\w+),.* (\w+)$", text)
    sum_ = re.search(r"What is (\d+) \+ (\d+)\?.*^(\d+)$", text, re.DOTALL | re.MULTILINE)
    if not scale:
        return ""
    return scale[2] if sum_ and int(sum_[1]) + int(sum_[2]) == int(sum_[3]) else scale[1]


def _least(schema: Json) -> object:
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if found := schema.get("anyOf"):
        return _least(found[0])
    kind = schema.get("type", "string")
    if kind == "object":
        return {name: _least(each) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        return [_least(schema.get("items", {}))] * schema.get("minItems", 0)
    plain: Mapping[str, object] = {"integer": schema.get("minimum", 0), "number": 0.5, "boolean": True}
    return plain.get(kind, "words")


def _chat(body: Json) -> Json:
    message = {"role": "assistant", "content": _said(body)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "up-1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice],
            "usage": USAGE}  # fmt: skip


def _chat_stream(body: Json) -> bytes:
    head = {"id": "up-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
    first = {"index": 0, "delta": {"role": "assistant", "content": _said(body)}, "finish_reason": None}
    chunks: list[Json] = [
        {**head, "choices": [first]},
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**head, "choices": [], "usage": USAGE},
    ]
    return b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in chunks) + b"data: [DONE]\n\n"


def _message(body: Json) -> Json:
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "Hello."}], "usage": OUTPUT_USAGE}  # fmt: skip


def _response(body: Json) -> Json:
    text = {"type": "output_text", "text": "Hello.", "annotations": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
    return {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": body["model"],
            "output": [item], "usage": OUTPUT_USAGE}  # fmt: skip


def _vectors(body: Json) -> Json:
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    rows = [{"object": "embedding", "index": at, "embedding": [0.5, 0.5]} for at, _ in enumerate(texts)]
    return {"object": "list", "data": rows, "model": body["model"], "usage": USAGE}


def _rerank(body: Json) -> Json:
    rows = [{"index": at, "relevance_score": 1 / (at + 2)} for at in range(body.get("top_n") or len(body["documents"]))]
    return {"id": "r", "results": rows, "meta": {"billed_units": {"search_units": 1}}}


def _moderate(body: Json) -> Json:
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    one = {"flagged": False, "categories": {"violence": False}, "category_scores": {"violence": 0.01}}
    return {"id": "modr-1", "model": body["model"], "results": [one] * len(texts)}


def _draw(body: Json) -> Json:
    return {"created": 1, "data": [{"b64_json": PICTURE}] * body.get("n", 1)}


OLD_EVALS: Mapping[str, list[Json]] = {
    "evals": [
        {
            "id": "eval_1",
            "object": "eval",
            "name": "rivers",
            "created_at": 1,
            "metadata": {},
            "data_source_config": {
                "type": "custom",
                "schema": {"type": "object", "properties": {"item": {"type": "object"}, "sample": {"type": "object"}}},
            },
            "testing_criteria": [
                {"type": "string_check", "name": "names it", "input": "{{ sample.output_text }}", "operation": "ilike",
                 "reference": "{{ item.river }}"}
            ],
        }
    ],
    "runs": [{"id": "evalrun_1", "object": "eval.run", "eval_id": "eval_1", "name": "old", "created_at": 1,
              "status": "completed", "model": "old", "report_url": "", "metadata": {}}],
    "output_items": [{"id": f"item_{n}", "object": "eval.run.output_item", "created_at": 1, "run_id": "evalrun_1",
                      "eval_id": "eval_1", "status": "pass", "datasource_item_id": n,
                      "datasource_item": {"river": name}}
                     for n, name in enumerate(("Rhine", "Nile"))],
}  # fmt: skip
"""What an account at OpenAI had: the end of a path -> its list."""
ANSWERS = {
    "/chat/completions": _chat,
    "/messages": _message,
    "/responses": _response,
    "/embeddings": _vectors,
    "/rerank": _rerank,
    "/moderations": _moderate,
    "/images/generations": _draw,
}
