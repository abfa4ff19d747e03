"""A judge for tests: an OpenAI-shaped server that finds worse whatever says BAD, and notes what it was shown."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Judge(ThreadingHTTPServer):
    """Its replies are a verdict, or `says` where that is set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), JudgeHandler)
        self.shown: list[str] = []
        self.says = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def verdict(self, prompt: str) -> str:
        self.shown.append(prompt)
        answers = re.findall(r"^(<\w+>) ANSWER [AB]\n(.*?)\n\1 END$", prompt, re.DOTALL | re.MULTILINE)
        first, second = (bool(re.search(r"\bBAD\b", answer)) for _, answer in answers)
        return self.says or ("tie" if first == second else "B" if first else "A")


class JudgeHandler(BaseHTTPRequestHandler):
    server: Judge

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = self.server.verdict(body["messages"][-1]["content"])
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        usage = {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101}
        answer = json.dumps({"id": "1", "object": "chat.completion", "model": "j", "choices": [choice], "usage": usage})
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextlib.contextmanager
def judging() -> Iterator[Judge]:
    judge = Judge()
    thread = threading.Thread(target=judge.serve_forever, daemon=True)
    thread.start()
    try:
        yield judge
    finally:
        judge.shutdown()
        judge.server_close()
        thread.join(60)
