"""Questions to /graphql of a running server, for the tests of this room; knows the endpoint's shape and no field."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.running_server import Served


@dataclass
class GraphQLAnswer:
    """An answer: `data`, and the first error's code, message and hint where there is one."""

    status: int
    data: Any = None
    errors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def code(self) -> str:
        return str(self.errors[0]["extensions"]["code"]) if self.errors else ""

    @property
    def message(self) -> str:
        return str(self.errors[0]["message"]) if self.errors else ""

    @property
    def hint(self) -> str:
        return str(self.errors[0]["extensions"]["hint"]) if self.errors else ""


def admin(server: Served) -> str:
    return (server.home / "admin.token").read_text().strip()


def graphql(server: Served, query: str, *, key: str | None = "", **variables: object) -> GraphQLAnswer:
    """Asks as the admin unless another key is given; `key=None` sends none."""
    body = {"query": query, "variables": variables}
    answer = server.ask("/graphql", body, key=admin(server) if key == "" else key, content_type="application/json")
    shown: Any = answer.json
    return GraphQLAnswer(answer.status, shown.get("data"), shown.get("errors", []))


def fresh_key(server: Served, *may: str, key: str = "") -> str:
    made = graphql(
        server,
        'mutation($m: [Permission!]) { createKey(name: "t", permissions: $m) { secret } }',
        key=key,
        m=list(may),
    )
    assert made.errors == []
    return str(made.data["createKey"]["secret"])
