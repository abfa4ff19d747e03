"""The pages of tuning in a real browser: a training goes on with its page closed and its server killed (story 52)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bench.tuning.task import messages
from sizewise.catalog.loader import bundled_models
from sizewise.tuning.examples import read_examples
from sizewise.tuning.recipe import TrainingEstimate
from sizewise.tuning.run_store import Equality, Measured, RunStore
from tests.auth.user_client import new_user
from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import fresh_key, graphql
from tests.running_server import serving, until
from tests.studio.browser import tab
from tests.studio.keyboard import missed
from tests.tuning.adapter_file import write_adapter
from tests.tuning.echo_trainer import STEPS, echo_environment
from tests.tuning.runs import planned

pytestmark = pytest.mark.browser
CONFIG = """
[server]
embedded = false
discover = false
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, smollm_gguf: Path) -> Iterator[Path]:
    """With a planned run, and a training environment that only counts."""
    home = tmp_path_factory.mktemp("tuning")
    echo_environment(home / "cache")
    for name, count, test in (("data", 600, False), ("test", 120, True)):
        chosen = [each for each in messages(count, 4, test=test) if each[1] in ("invoice", "customs")]
        rows = [json.dumps({"input": text, "output": said}) for text, said in chosen[: 8 if test else 60]]
        (home / f"{name}.jsonl").write_text("\n".join(rows))
    examples = read_examples(home / "data.jsonl", home / "test.jsonl", "")
    RunStore(home).save(
        planned(
            base_sha256=bundled_models()["smollm2-135m"].weights.sha256,
            data=str(home / "data.jsonl"),
            test=str(home / "test.jsonl"),
            digest=examples.digest,
            train_count=60,
            test_count=8,
            estimate=TrainingEstimate(tokens=9_000, steps=STEPS, cpu_seconds=12.0, bytes=400_000_000),
            baselines={"prompting": Measured((False,) * 8)},
        )
    )
    yield home


def test_story_52_a_training_goes_on_with_its_page_closed_and_its_server_killed(browser: Any, home: Path) -> None:
    store, cache = RunStore(home), {"SIZEWISE_CACHE": str(home / "cache")}
    with serving(home, CONFIG, **cache) as server:
        owner = new_user(server, "tess@example.com", "owner")
        with tab(browser, server, owner) as opened:
            opened.open("/small-models/tuning")
            opened.page.get_by_role("link", name="intents").click()
            opened.page.get_by_role("button", name="Run").click()
            opened.picture("tuning-start")
            opened.page.get_by_role("dialog").get_by_role("button", name="Run").click()
            opened.page.get_by_text("running").wait_for()
            assert opened.inaccessible() == [] and opened.wrong() == []
        until(lambda: store.require("intents").step > 0)
        server.process.kill()
        before = store.require("intents").step
    with serving(home, CONFIG, **cache) as server:
        owner = new_user(server, "theo@example.com", "owner")
        with tab(browser, server, owner) as opened:
            opened.open("/small-models/tuning/intents")
            done = int(opened.page.get_by_text(f"of {STEPS} steps").last.inner_text().split()[0])
            assert done >= before > 0, "the same run, and no step lost"
            opened.picture("tuning-running")
            opened.page.get_by_text("It may not answer: both runtimes gave 0 equal answers of 8").wait_for()
            assert opened.page.get_by_text("12.0 s of processor time").is_visible(), "the estimate stays beside it"
            assert opened.page.get_by_text("on the clock").is_visible(), "what it took"
            opened.picture("tuning-ended")
            assert missed(opened) == {}
            assert opened.inaccessible() == []
        with tab(browser, server, owner, phone=True, dark=True) as opened:
            opened.open("/small-models/tuning/intents")
            opened.picture("tuning-phone")
            assert not opened.scrolls_sideways() and opened.inaccessible() == []


def test_who_may_only_see_models_starts_no_training_and_a_missing_environment_is_named(
    browser: Any, home: Path, tmp_path: Path
) -> None:
    run = RunStore(home).require("intents")
    RunStore(tmp_path).save(replace(run, state="planned", step=0, tuned=None, equality=None, cost=None, refused=""))
    with serving(tmp_path, CONFIG, SIZEWISE_CACHE=str(tmp_path / "cache")) as server:
        key = fresh_key(server, "read_models")
        refused = graphql(server, 'mutation { startTuning(id: "intents") { id } }', key=key)
        assert "run_tuning" in refused.errors[0]["message"]
        missing = graphql(server, 'mutation { startTuning(id: "intents") { id } }')
        assert "PyTorch is not installed" in missing.errors[0]["message"]
        assert graphql(server, '{ tuningRun(id: "none") { id } }').data["tuningRun"] is None
        with tab(browser, server, new_user(server, "vic@example.com", "viewer")) as opened:
            opened.open("/small-models/tuning/intents")
            opened.page.get_by_text("sizewise tune setup").wait_for()
            assert opened.page.get_by_role("button", name="Run").count() == 0
            opened.picture("tuning-setup")


def test_adapters_are_listed_with_base_size_and_gate_and_deleted_by_their_name(browser: Any, tmp_path: Path) -> None:
    store, base = RunStore(tmp_path), bundled_models()["smollm2-135m"].weights.sha256
    for name, right in (("intents", 19), ("tone", 18)):
        tuned = Measured((True,) * right + (False,) * (20 - right))
        equality = Equality(20, 20, 0.001)
        store.save(planned(name=name, base_sha256=base, state="trained", tuned=tuned, equality=equality))
        write_adapter(store.folder(name) / "adapter.gguf", base, 0.0)
        assert sizewise("tune", "promote", name, home=tmp_path).code == 0
    with serving(tmp_path, CONFIG) as server:
        owner = new_user(server, "ada@example.com", "owner")
        with tab(browser, server, owner) as opened:
            opened.open("/small-models/tuning")
            opened.page.get_by_role("link", name="Adapters").click()
            row = opened.page.get_by_role("row").filter(has_text="local/intents")
            row.wait_for()
            said = row.inner_text()
            assert "local/smollm2-135m" in said and "95.0% right answers" in said and "kB" in said
            opened.picture("adapters")
            assert missed(opened) == {} and opened.inaccessible() == []
            row.get_by_role("button", name="Delete").click()
            dialog = opened.page.get_by_role("dialog")
            assert dialog.get_by_role("button", name="Delete").is_disabled()
            dialog.get_by_role("textbox").fill("intents")
            opened.picture("adapters-delete")
            dialog.get_by_role("button", name="Delete").click()
            row.wait_for(state="detached")
            assert opened.page.get_by_role("link", name="local/tone").is_visible() and opened.wrong() == []
        assert [run.name for run in store.list()] == ["tone"]
        assert "local/intents" not in sizewise("models", "--json", home=tmp_path).out
        with tab(browser, server, owner, phone=True) as opened:
            opened.open("/small-models/adapters")
            opened.page.get_by_role("link", name="local/tone").wait_for()
            opened.picture("adapters-phone")
            assert not opened.scrolls_sideways()
        with tab(browser, server, new_user(server, "vic@example.com", "viewer")) as opened:
            opened.open("/small-models/adapters")
            opened.page.get_by_role("link", name="local/tone").wait_for()
            assert opened.page.get_by_role("button", name="Delete").count() == 0
        key = fresh_key(server, "read_models")
        refused = graphql(server, 'mutation { deleteAdapter(name: "local/tone") }', key=key)
        assert "run_tuning" in refused.errors[0]["message"]
        missing = graphql(server, 'mutation { deleteAdapter(name: "local/smollm2-135m") }')
        assert "there is no adapter" in missing.errors[0]["message"]
