"""The flow node `classify`: a question with few answers, learned and then answered by its ladder as from any door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.decisions.test_decisions_served import CONFIG, Decides, rows
from tests.gateway.server_harness import beside
from tests.running_server import Served, serving, until

FLOW = """
name: sort
inputs: {text: text}
nodes:
  team: {kind: classify, model: large, text: "{{ inputs.text }}", labels: {billing: invoices, support: the rest}}
outputs: {team: "{{ team.label }}"}
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with beside(Decides) as up, serving(tmp_path, CONFIG.format(url=up.url, keep="vectors")) as served:
        yield served


def test_a_flow_that_classifies_teaches_the_same_ladder_whatever_the_text(server: Served) -> None:
    flow = server.home / "sort.yaml"
    flow.write_text(FLOW)
    assert sizewise("flow", "publish", str(flow), home=server.home).code == 0
    for text in ("an invoice", "another invoice"):
        done = sizewise("flow", "run", "sort", "-i", f"text={text}", "--json", home=server.home)
        assert done.code == 0 and '"billing"' in done.out, done.err
    until(lambda: rows(server, "SELECT count(*) FROM decision_answers") == [(2,)])
    assert rows(server, "SELECT options, state FROM decision_questions") == [(2, "learning")]
