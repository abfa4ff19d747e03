"""The bench of flows in small: what is walked comes out right, in memory and kept; no figure is judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.flows import graphs
from bench.flows.run import CASES, CONTENDERS, page, table
from bench.flows.sizewise_runner import Asked, Took, walker


@pytest.mark.long
async def test_every_graph_gives_what_it_must_by_both_ways(tmp_path: Path) -> None:
    async with walker(tmp_path) as made:
        ways = [(*case, way) for case in CASES for way in ("memory", "durable") if case[0] != "none" or way == "memory"]
        found = [await made.walked(Asked(*each, at_once=2, seconds=0.0)) for each in ways]
    assert len(found) == 13 and all(took.runs == 2 and took.wall_s > 0 for took in found)


@pytest.mark.long
async def test_a_wrong_output_is_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "right", lambda graph: "other")
    with pytest.raises(AssertionError, match="chain"):
        async with walker(tmp_path) as made:
            await made.walked(Asked("chain", "template", "memory", 1, 0.0))


def test_the_peers_walk_graphs_of_the_same_size() -> None:
    script = Path(graphs.__file__).with_name("peers") / "langgraph_runner.py"
    assert f"CHAIN, WIDE, ITEMS = {graphs.CHAIN}, {graphs.WIDE}, {graphs.ITEMS}\n" in script.read_text()


def test_a_ratio_is_the_median_of_the_rounds_and_above_one_where_sizewise_is_better() -> None:
    ours, theirs = CONTENDERS[0].name, CONTENDERS[1].name
    found = {
        ("chain", "template", ours, 1): [Took(10, 1.0, 0.5), Took(10, 2.0, 1.0), Took(10, 9.0, 0.5)],
        ("chain", "template", theirs, 1): [Took(10, 3.0, 0.5), Took(5, 2.0, 1.0), Took(20, 9.0, 0.5)],
    }
    slow = table(found, "s", 1, lambda took, nodes: took.wall_s / took.runs)
    assert "| a chain of 10, template | 0.2 | 0.4 (2x) |" in slow
    rate = table(found, "runs/s", 1, lambda took, nodes: took.runs / took.wall_s, more=True)
    assert "| a chain of 10, template | 5.0 | 2.5 (2x) |" in rate
    assert "LangGraph, kept" not in page(found)
