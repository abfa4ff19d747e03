"""GraphiQL: what is served of it, and that it streams in a real browser which reaches nothing but the server."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from graphql import parse, validate

from sizewise.graphql.graphiql import ASSETS
from sizewise.graphql.schema import SERVED
from tests.auth.user_client import new_user
from tests.graphql.graphql_client import admin, graphql
from tests.running_server import ECHO, Served, serving, until
from tests.sdks.test_node import node
from tests.studio.browser import chromium

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "sizewise" / "graphql" / "graphiql"
SUBSCRIPTION = """subscription {
  ask(
    model: "echo/small"
    prompt: "[[pace 0.1]] [[repeat 8]] small models first"
  ) {
    text%s
  }
}
"""
ANSWER = """
    answer {
      model
      trace
      choices {
        text
      }
    }"""


def test_a_browser_is_shown_graphiql_and_everybody_else_how_to_ask(echo: Served) -> None:
    page = echo.ask("/graphql", key=None, accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert page.status == 200 and page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert echo.ask("/graphql", accept="*/*").status == 400
    assert echo.ask("/graphql", key=None, accept="text/html", host="evil.example").status == 403


@pytest.mark.parametrize("name", ASSETS)
def test_its_files_come_from_here_whole_and_once(echo: Served, name: str) -> None:
    plain = echo.ask(f"/graphql/{name}", key=None)
    packed = echo.ask(f"/graphql/{name}", key=None, accept_encoding="gzip, br")
    assert plain.status == packed.status == 200
    assert packed.headers["content-encoding"] == "gzip" and gzip.decompress(packed.body) == plain.body
    assert plain.headers["x-content-type-options"] == "nosniff"
    assert echo.ask(f"/graphql/{name}", key=None, if_none_match=plain.headers["etag"]).status == 304
    sums = (line.split() for line in (FOLDER / "SHA256SUMS").read_text().splitlines())
    known = {file: hash for hash, file, *_ in sums}
    assert name not in known or sha256(plain.body).hexdigest() == known[name], "as its makers built it"


def test_there_is_nothing_else_below_the_endpoint(echo: Served) -> None:
    for path in ("/graphql/nothing.js", "/graphql/SHA256SUMS", "/graphql/page.html"):
        assert echo.ask(path, key=None).status == 404


def test_the_query_that_the_editor_starts_with_fits_the_schema() -> None:
    query = re.findall(r"defaultQuery: '(.*)'", (FOLDER / "page.js").read_text())[0].replace("\\n", "\n")
    assert validate(SERVED.schema, parse(query)) == []


@pytest.mark.long
def test_it_can_be_left_out(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO + "[graphql]\ngraphiql = false\n") as server:
        assert server.ask("/graphql", key=None, accept="text/html").status == 401
        assert server.ask("/graphql/page.js", key=None).status == 404


def browsed(server: Served, **more: str) -> dict[str, Any]:
    program, here = node(), ROOT / "tests" / "sdks" / "node"
    env = {"PATH": os.environ["PATH"], "CHROMIUM": chromium()}
    env |= {"SIZEWISE_URL": server.url, "SIZEWISE_KEY": admin(server)}
    env |= {"SUBSCRIPTION": SUBSCRIPTION % ANSWER, "ENDLESS": SUBSCRIPTION.replace("8", "9999") % ""}
    env |= {"PICTURE": os.environ.get("PICTURE", ""), "HOME": str(server.home), **more}
    done = subprocess.run([program, "graphiql.mjs"], cwd=here, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


@pytest.mark.node
@pytest.mark.parametrize("way", ["key", "session"])
def test_a_subscription_streams_in_a_browser_that_reaches_nothing_else(echo: Served, way: str) -> None:
    cookie = {} if way == "key" else {"COOKIE": new_user(echo, "graphiql@example.com", "developer").cookie}
    shown = browsed(echo, **cookie)
    assert (shown["strangers"], set(shown["requests"])) == ([], {"/graphql", "/auth/session", *_paths()})
    assert [each for each in shown["errors"] if "401" not in each] == []  # nobody is signed in where a key is entered
    assert shown["me"]["data"]["me"]["key"]
    answer = shown["last"]["data"]["ask"]["answer"]
    assert answer["choices"][0]["text"].startswith("small models first") and shown["said"] == "25 events, complete"
    until(lambda: _last(echo) == {"status": 499, "error": "cancelled"})  # the second one was stopped in mid-stream


def _paths() -> set[str]:
    return {f"/graphql/{name}" for name in ASSETS}


def _last(server: Served) -> object:
    return graphql(server, "{ records(last: 1) { rows { status error } } }").data["records"]["rows"][0]
