"""A double of GitHub's API for the comments of pull requests, on a real socket: no more than these four answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.json_server import JsonHandler, json_server


@dataclass
class GithubDouble:
    """`comments`: of all pull requests. `may_write`: what a fork's token may not."""

    url: str = ""
    may_write: bool = True
    comments: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)

    def add(self, body: str, kind: str = "User") -> None:
        self.comments.append({"id": len(self.comments) + 1, "body": body, "user": {"type": kind, "login": "x"}})


@contextmanager
def github_double() -> Iterator[GithubDouble]:
    double = GithubDouble()

    class Handler(JsonHandler):
        def do_GET(self) -> None:
            self._answer(200, double.comments if "page=1" in self.path.split("&") else [])

        def do_POST(self) -> None:
            self._write(201, lambda body: double.add(body, "Bot"))

        def do_PATCH(self) -> None:
            id = int(self.path.rpartition("/")[2])
            self._write(200, lambda body: double.comments[id - 1].update(body=body))

        def _write(self, status: int, write: Any) -> None:
            body = self.read_json()["body"]
            if not double.may_write:
                return self._answer(403, {"message": "Resource not accessible by integration"})
            write(body)
            self._answer(status, {"id": 1})

        def _answer(self, status: int, value: object) -> None:
            double.requests.append((self.command, self.headers["authorization"]))
            self.answer(status, value)

    with json_server(Handler) as double.url:
        yield double
