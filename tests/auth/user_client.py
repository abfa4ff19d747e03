"""People at a running server, for the tests of this room: invited, signed in, with a browser's cookie or without."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPResponse
from typing import Any

from sizewise.app.services import Services
from sizewise.auth.users.tables import User
from tests.graphql.graphql_client import GraphQLAnswer, graphql
from tests.running_server import Answer, Served

PASSWORD = "a quite long sentence of mine"
INVITE = """mutation($email: String!, $role: String, $project: String) {
  inviteUser(email: $email, role: $role, project: $project) { token invitation { id } } }"""


@dataclass
class Browser:
    """Sends what a browser would from a page of the server itself: the cookie, the origin, and the proof."""

    server: Served
    cookie: str = ""
    csrf: str = ""
    said: dict[str, Any] = field(default_factory=dict)  # what the endpoint told last

    def send(
        self,
        path: str,
        body: object = None,
        headers: Mapping[str, str | None] | None = None,
        method: str = "",
    ) -> Answer:
        """A header of None is left out."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        kind = None if data is None else "application/json"
        usual = {"origin": self.server.url, "cookie": self.cookie, "x-sizewise-csrf": self.csrf, "content-type": kind}
        sent = {name: value for name, value in {**usual, **(headers or {})}.items() if value}
        connection = self.server.connection()
        try:
            connection.request(method or ("GET" if data is None else "POST"), path, data, sent)
            got = connection.getresponse()
            answer = Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
        finally:
            connection.close()
        if "set-cookie" in answer.headers:
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
        tells_session = path.startswith("/auth/") and not path.startswith("/auth/second-factor")
        if answer.status == 200 and tells_session and isinstance(answer.json, dict):
            self.said = answer.json
            self.csrf = self.said.get("csrf", "")
        return answer

    def sign_in(self, email: str, password: str = PASSWORD, **more: str) -> Answer:
        return self.send("/auth/sign-in", {"email": email, "password": password, **more})

    def accept(self, token: str, name: str = "", password: str = PASSWORD) -> Answer:
        return self.send("/auth/invitation", {"token": token, "name": name, "password": password})

    def graphql(self, query: str, **variables: object) -> GraphQLAnswer:
        answer = self.send("/graphql", {"query": query, "variables": variables})
        shown: Any = json.loads(answer.body)
        errors = shown.get("errors") or ([{"message": "", "extensions": shown["error"]}] if "error" in shown else [])
        return GraphQLAnswer(answer.status, shown.get("data"), errors)

    def chat(self, model: str = "echo/small", words: str = "Hello there", **more: object) -> Answer:
        return self.send(
            "/v1/chat/completions",
            {"model": model, "messages": [{"role": "user", "content": words}], **more},
        )

    @contextmanager
    def streaming(self, words: str, key: str = "") -> Iterator[HTTPResponse]:
        """A chat as it comes; by `key`, where there is one, in place of the session."""
        body = {"model": "echo/small", "messages": [{"role": "user", "content": words}], "stream": True}
        proof = {"Cookie": self.cookie, "X-Sizewise-Csrf": self.csrf, "Origin": self.server.url}
        proof = {"Authorization": f"Bearer {key}"} if key else proof
        connection = self.server.connection()
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), proof)
            yield connection.getresponse()
        finally:
            connection.close()

    @property
    def user(self) -> str:
        return str(self.said["user"])


def invited(server: Served, email: str, role: str, project: str | None = None, by: Browser | None = None) -> str:
    """The token of an invitation."""
    variables = {"email": email, "role": role, "project": project}
    made = by.graphql(INVITE, **variables) if by else graphql(server, INVITE, **variables)
    assert made.errors == [], made.errors
    return str(made.data["inviteUser"]["token"])


def new_user(server: Served, email: str, role: str, project: str | None = None) -> Browser:
    """A new user, signed in."""
    browser = Browser(server)
    answer = browser.accept(invited(server, email, role, project), email.partition("@")[0])
    assert answer.status == 200, answer.body
    return browser


async def joined_user(services: Services, email: str) -> User:
    """A new user of services without a server, not signed in."""
    boss = services.api_keys.authenticator.authenticate(services.admin_token)
    sent = await services.users.invite("local", email, "developer", "", 7, boss)

    async def check(user: User) -> None:
        """Of users who exist already."""

    return await services.users.accept_invitation(sent.token, "", PASSWORD, check)
