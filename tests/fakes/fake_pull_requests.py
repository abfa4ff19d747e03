"""A double of the pull-request APIs of GitHub, Gitea and GitLab, on a real socket: opens one, and lists the open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.json_server import JsonHandler, json_server

PATHS = {
    "github": "/repos/repo/pulls",
    "gitea": "/repos/repo/pulls",
    "gitlab": "/projects/repo/merge_requests",
}


@dataclass
class PullRequestDouble:
    """`opened`: the bodies that opened one. `refuses`: with this status. `seen`: authorization headers."""

    kind: str
    url: str = ""
    refuses: int = 0
    opened: list[dict[str, Any]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    def shown(self, number: int) -> dict[str, Any]:
        made, url = self.opened[number - 1], f"https://git.example/repo/{number}"
        if self.kind == "gitlab":
            return {"iid": number, "web_url": url, "source_branch": made["source_branch"]}
        return {"number": number, "html_url": url, "head": {"ref": made["head"]}}

    def branch(self, made: dict[str, Any]) -> str:
        return str(made["source_branch" if self.kind == "gitlab" else "head"])


@contextmanager
def pull_request_double(kind: str) -> Iterator[PullRequestDouble]:
    double = PullRequestDouble(kind)

    class Handler(JsonHandler):
        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            found = [double.shown(number) for number in range(1, len(double.opened) + 1)]
            branch = asked.get("source_branch", asked.get("head", [""]))[0].rpartition(":")[2]
            known = [each for each, made in zip(found, double.opened, strict=True) if double.branch(made) == branch]
            self._answer(200, found if kind == "gitea" else known)

        def do_POST(self) -> None:
            body = self.read_json()
            if double.refuses:
                return self._answer(double.refuses, {"message": "no"})
            if self.path != PATHS[kind]:
                return self._answer(404, {"message": self.path})
            if any(double.branch(each) == double.branch(body) for each in double.opened):
                return self._answer(422 if kind == "github" else 409, {"message": "it is there"})
            double.opened.append(body)
            self._answer(201, double.shown(len(double.opened)))

        def _answer(self, status: int, value: object) -> None:
            double.seen.append(self.headers["authorization"])
            self.answer(status, value)

    with json_server(Handler) as double.url:
        yield double
