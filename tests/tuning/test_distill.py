"""`sizewise tune distill`: from the kept answers to a decision to a model on its ladder; what was erased is noted."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bench.tuning.task import messages
from sizewise.catalog.loader import bundled_models
from sizewise.settings.load import load_settings
from sizewise.tuning.environment import find_environment
from sizewise.tuning.run_store import Equality, Measured, RunStore, TuningRun
from tests.cli.terminal import Done, sizewise
from tests.decisions.test_decisions_served import Decides
from tests.forked import PYTHONPATH, command, run, start
from tests.gateway.server_harness import beside
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, environment, serving, until
from tests.tuning.adapter_file import write_adapter
from tests.tuning.echo_trainer import STEPS, echo_environment, steps_done

pytestmark = pytest.mark.long
CONFIG = """
[server]
discover = false
[learn]
keep = "{keep}"
[local]
slots = 1
context = 2048
[providers.echo]
wire = "echo"
place = "process"
models = ["vectors"]
[models."echo/vectors"]
task = "embed"
[providers.up]
base_url = "{url}"
place = "machine"
models = ["large"]
"""
TEAM: Any = {
    "type": "choice",
    "instructions": "Which team answers this?",
    "choices": [{"value": "billing"}, {"value": "support"}, {"value": "sales"}],
}
TEXTS = [f"{text} ({intent})" for text, intent in messages(360, 5, test=False) if intent in ("invoice", "damaged")]
COUNT = 160


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, smollm_gguf: Path) -> Iterator[Served]:
    """With kept answers of one decision, of which the first is of a session of its own."""
    home = tmp_path_factory.mktemp("distill")
    with beside(Decides) as up, serving(home, CONFIG.format(url=up.url, keep="text")) as served:
        texts = [f"{text} {number}" for number in range(10) for text in TEXTS][:COUNT]
        for number, text in enumerate(texts):
            options = {"sizewise": {"session": f"s{number}"}}
            answer = served.ask("/v1/decisions", {"model": "up/large", "input": text, "questions": [TEAM], **options})
            assert answer.status == 200, answer.body
        until(lambda: decision(served)["answers"] == COUNT)
        yield served


def decision(server: Served) -> Any:
    found = sizewise("decisions", "--json", home=server.home).json["decisions"]
    return found[0] if found else {"answers": 0}


def distill(server: Served, *words: str, **environ: str) -> Done:
    return sizewise("tune", "distill", decision(server)["id"][:8], *words, home=server.home, **environ)


def newest(server: Served) -> TuningRun:
    return RunStore(server.home).list()[0]


def texts_on_disk(server: Served) -> list[str]:
    files = [each for each in (server.home / "tuning").rglob("*") if each.is_file()]
    return [each.name for each in files if b"invoice" in each.read_bytes()]


def erase(server: Served, number: int) -> None:
    told = f'mutation {{ erasePersonalData(session: "s{number}", dryRun: false) {{ rows {{ kind count }} }} }}'
    gone = {each["kind"]: each["count"] for each in graphql(server, told).data["erasePersonalData"]["rows"]}
    assert gone["learned decisions"] == 1


def taught(server: Served) -> list[Any]:
    query = "query($id: ID!) { decisionExamples(id: $id) { id input option teaches } }"
    found = graphql(server, query, id=decision(server)["id"]).data["decisionExamples"]
    return [each for each in found if each["teaches"]]


def test_baselines_come_before_the_training_environment_is_needed(server: Served, tmp_path: Path) -> None:
    done = plan(server, tmp_path)
    assert done.code == 3 and "PyTorch is not installed" in done.err
    assert done.hint == "hint: Run: sizewise tune setup"
    run = newest(server)
    assert run.state == "planned" and run.decision == decision(server)["id"] and run.baselines["prompting"].right
    assert len(run.rows) == len(taught(server)) > 50
    assert not texts_on_disk(server)
    other = distill(server, "--preset", "quick", SIZEWISE_CACHE=str(tmp_path / "cache"))
    assert other.code == 2 and f"--preset cannot be used while the run {run.name} goes on" in other.err
    same = distill(
        server, "--anyway", "--preset", run.preset, "--base", run.base, SIZEWISE_CACHE=str(tmp_path / "cache")
    )
    assert "PyTorch is not installed" in same.err, "the same command goes on"
    needless = distill(server, SIZEWISE_CACHE=str(tmp_path / "cache"))
    assert f"To tune all the same: sizewise tune distill {run.decision[:12]} --anyway" in needless.out
    told = sizewise("tune", "run", run.name, home=server.home)
    assert "of a decision" in told.err and "sizewise tune distill" in told.hint


def test_no_run_gets_the_name_of_a_deleted_one(server: Served, tmp_path: Path) -> None:
    """A certificate that names its model would be about another one."""
    cache, names = linked_cache(tmp_path), list[str]()
    for _ in range(2):
        distill(server, "--anyway", SIZEWISE_CACHE=cache)
        names.append(newest(server).name)
        assert sizewise("tune", "delete", names[-1], home=server.home).code == 0
    before, after = names
    assert after != before and after.startswith(f"decision-{decision(server)['id'][:12]}-")


def test_no_text_is_on_disk_in_a_training_and_a_killed_one_goes_on(server: Served, tmp_path: Path) -> None:
    """However it ends: nothing is there that would have to be removed."""
    echo_environment(tmp_path)
    words = command("tune", "distill", decision(server)["id"], "--anyway", "--json")
    env = {**variables(server), "SIZEWISE_CACHE": str(tmp_path)}
    with start(words, env=env, cwd=server.home) as training:
        runs = RunStore(server.home)
        until(lambda: any(e.state == "training" for e in runs.list()) or training.poll() is not None, 120)
        assert training.poll() is None and not texts_on_disk(server)
        training.kill()
    assert not texts_on_disk(server)
    done = run(words, env=env, cwd=server.home, timeout=300)
    ended = newest(server)
    assert done.returncode == 1 and "both runtimes" in ended.refused, done.stderr
    assert steps_done(tmp_path)[-1] == STEPS and not texts_on_disk(server)
    RunStore(server.home).delete(ended.name)


def plan(server: Served, folder: Path) -> Done:
    """Measures what needs no training, which is all without its environment."""
    return distill(server, "--anyway", SIZEWISE_CACHE=linked_cache(folder))


def linked_cache(folder: Path) -> str:
    """The models of this machine, without its training environment."""
    cache = load_settings(None, folder, environ=dict(os.environ)).cache_dir
    (folder / "cache").mkdir()
    (folder / "cache" / "models").symlink_to(cache / "models")
    return str(folder / "cache")


def test_a_tuned_model_joins_the_ladder_and_its_card_says_what_was_erased(server: Served, tmp_path: Path) -> None:
    plan(server, tmp_path)
    id, rows = decision(server)["id"], taught(server)
    store, base = RunStore(server.home), bundled_models()["smollm2-135m"].weights.sha256
    old = next(each for each in store.list() if each.decision == id)
    trained = replace(
        old,
        name="by-hand",
        base_sha256=base,
        state="trained",
        tuned=Measured((True,) * 20),
        equality=Equality(20, 20, 0.001),
        rows=tuple(each["id"] for each in rows),
    )
    store.save(trained)
    write_adapter(store.folder("by-hand") / "adapter.gguf", base, 0.0)
    with start(command("tune", "promote", "by-hand"), env=variables(server), cwd=server.home) as promotion:
        until(lambda: measured(server)["asked"])  # it is a model, and is asked about what is kept
        promotion.kill()
    first, second = measured(server), measured(server)
    assert first["model"] == "local/by-hand"
    assert second["left"] < first["left"] or second["left"] == 0, "it goes on with the rest"
    shown = sizewise("models", "show", "local/by-hand", home=server.home).out
    assert f"examples of decision {id[:12]}" in shown and "erased" not in shown
    for number in range(9):  # one in three teaches
        erase(server, number)
    gone = len(rows) - len(taught(server))
    shown = sizewise("models", "show", "local/by-hand", home=server.home).out
    assert gone and f"{gone} of its examples were erased since" in shown


def measured(server: Served) -> Any:
    told = "mutation($id: ID!) { measureDecision(id: $id) { model asked left } }"
    return graphql(server, told, id=decision(server)["id"]).data["measureDecision"]


def variables(server: Served) -> dict[str, str]:
    return {**environment(SIZEWISE_HOME=str(server.home)), "PYTHONPATH": PYTHONPATH}


def test_no_kept_text_is_told_with_the_setting(tmp_path: Path) -> None:
    with beside(Decides) as up, serving(tmp_path, CONFIG.format(url=up.url, keep="vectors")) as served:
        body = {"model": "up/large", "input": "an invoice", "questions": [TEAM]}
        assert served.ask("/v1/decisions", body).status == 200
        until(lambda: decision(served)["answers"] == 1)
        done = distill(served)
    assert done.code == 2 and "0 different texts teach this decision" in done.err and "keep =" in done.hint


def test_a_decision_is_distilled_to_a_model_that_answers(server: Served, tmp_path: Path) -> None:
    if find_environment(load_settings(None, tmp_path, environ=dict(os.environ)).cache_dir) is None:
        pytest.skip("no training environment: sizewise tune setup")
    words = command("tune", "distill", decision(server)["id"], "--anyway", "--preset", "quick", "--json")
    done = run(words, env=variables(server), cwd=server.home, timeout=1_800)
    assert done.returncode in (0, 1), done.stderr
    told = json.loads(done.stdout)
    assert told["run"]["tuned"] is not None and not texts_on_disk(server)
    assert (done.returncode == 0) is (told["run"]["state"] == "promoted")
