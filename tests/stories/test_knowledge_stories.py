"""Story 26 of releases: a new embedding model is a new generation of the index, and a rollback embeds nothing again."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import graphql
from tests.knowledge.knowledge_server import CONFIG, add, embed, search, warnings
from tests.releases.test_environments import run
from tests.running_server import Served, serving

LEAVE, SUNDAY, SICK = "Everybody has thirty days of holidays.", "Nobody works on Sundays.", "Call in sick before nine."
FLOW = "name: look\nnodes:\n  found: {kind: search, knowledge: handbook, query: holidays on Sundays, mode: vector}\n"
FLOW += 'outputs: {texts: "{{ found.passages }}", warnings: "{{ found.warnings }}"}\n'
BY = CONFIG.replace('"vectors"]', '"vectors", "others"]') + '[models."echo/others"]\ntask = "embed"\n'
BY += '[environments.staging]\n[environments.prod]\n[knowledge.handbook]\nembedding_model = "echo/vectors"\n'
NAMED = 'embedding_model = "echo/'
SHOWN = "{ knowledge { name model generations { model current ready } } }"
ROLLBACK_S = 10


@pytest.fixture(params=["sqlite", "postgres"])
def environ(request: pytest.FixtureRequest) -> dict[str, str]:
    """Where the server keeps its data, and with it the vectors: in files, or in Postgres with pgvector."""
    if request.param == "sqlite":
        return {}
    return {
        "STORE": request.getfixturevalue("postgres_url"),
        "KEY": base64.b64encode(bytes(range(32))).decode(),
    }


def settings(text: str, environ: dict[str, str]) -> str:
    return text + '[database]\nurl = "env:STORE"\n[encryption]\nkey = "env:KEY"\n' if environ else text


def look(server: Served, release: str) -> str:
    """What the flow finds, answered by the live release of prod."""
    body = {"model": "flow:look", "messages": [{"role": "user", "content": "Look"}]}
    answer = server.ask("/v1/chat/completions", body)
    assert answer.status == 200, answer.body
    assert answer.headers["x-sizewise-release"] == release
    found: Any = answer.json
    return str(found["choices"][0]["message"]["content"])


def embeddings(home: Path) -> dict[str, int]:
    """Requests that each embedding model has answered."""
    found = [each["model"] for each in run(home, "records", "--last", "500")["records"]]
    return {name: found.count(name) for name in ("echo/vectors", "echo/others")}


def models(server: Served) -> list[tuple[str, bool, bool]]:
    (base,) = graphql(server, SHOWN).data["knowledge"]
    return [(its["model"], its["current"], its["ready"]) for its in base["generations"]]


def forget(server: Served, source: str) -> None:
    done = sizewise("knowledge", "remove", "handbook", source, home=server.home)
    assert done.code == 0, done.out + done.err


@pytest.mark.long
def test_story_26_a_new_embedding_model_is_a_new_generation_and_rolling_back_embeds_nothing(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    home = tmp_path / "home"
    (home / "flows").mkdir(parents=True)
    (home / "flows" / "look.yaml").write_text(FLOW)
    config = home / "sizewise.toml"
    with serving(home, settings(BY, environ), **environ) as server:
        for source, text in (("leave.md", LEAVE), ("sunday.md", SUNDAY), ("sick.md", SICK)):
            add(server, source, text)
        assert embed(server) == 3
        first = run(home, "release", "promote", "prod")["live"]["release"]
        assert LEAVE in look(server, first) and embeddings(home)["echo/others"] == 0

        # Another model in the settings: the old index answers, and a release that needs the new one has to wait for it.
        config.write_text(
            config.read_text().replace('embedding_model = "echo/vectors"', 'embedding_model = "echo/others"')
        )
        assert graphql(server, "mutation { reload { models } }").errors == []
        assert {each["text"] for each in search(server, "holidays")} == {LEAVE, SUNDAY, SICK}
        assert "echo/vectors answers until" in warnings(server, "holidays")[0]
        refused = sizewise("release", "promote", "prod", home=home)
        assert refused.code != 0 and "knowledge/handbook" in refused.err and "sizewise knowledge rebuild" in refused.err
        assert run(home, "knowledge", "rebuild", "handbook")[0]["embedded"] == 3
        assert models(server) == [("echo/vectors", False, True), ("echo/others", True, True)]
        assert warnings(server, "holidays") == []
        assert LEAVE in look(server, first), "prod still answers from its own generation"

        second = run(home, "release", "promote", "prod")["live"]["release"]
        before = embeddings(home)
        assert LEAVE in look(server, second)
        after = embeddings(home)
        assert (after["echo/vectors"], after["echo/others"]) == (before["echo/vectors"], before["echo/others"] + 1)

        # What comes and goes, comes to both and goes from both.
        add(server, "dogs.md", "Dogs are welcome on Fridays.")
        assert embed(server) == 1
        forget(server, "sunday.md")

        start, before = time.monotonic(), embeddings(home)
        run(home, "release", "rollback", "prod")
        found = look(server, first)
        assert time.monotonic() - start < ROLLBACK_S
        assert "Dogs are welcome" in found and LEAVE in found and SUNDAY not in found and "answers until" not in found
        after = embeddings(home)
        assert after["echo/vectors"] == before["echo/vectors"] + 1, "the query alone is embedded, by the old model"
        assert after["echo/others"] == before["echo/others"]
        assert "Dogs are welcome" in str(search(server, "dogs"))
