"""`sizewise tune`: every wrong use is told with the next step, and runs are listed, shown and deleted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sizewise.catalog.loader import user_models
from sizewise.tuning.run_store import Equality, Measured, RunStore, TrainingCost
from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import graphql
from tests.running_server import ECHO, serving
from tests.tuning.runs import planned

GOOD = Measured((True,) * 19 + (False,))


def test_without_an_environment_a_run_names_the_one_command(tmp_path: Path) -> None:
    RunStore(tmp_path).save(planned())
    done = sizewise("tune", "run", "intents", home=tmp_path, SIZEWISE_CACHE=str(tmp_path))
    assert done.code == 3
    assert done.err.splitlines() == [
        "sizewise: there is no training environment: PyTorch is not installed",
        "hint: Run: sizewise tune setup",
    ]


def test_a_server_with_a_ray_cluster_needs_no_environment_of_its_own(tmp_path: Path) -> None:
    RunStore(tmp_path).save(planned())
    for ray, setup in (("", "sizewise tune setup"), ("127.0.0.1:1", None)):
        with serving(tmp_path, f'{ECHO}\n[jobs]\nray = "{ray}"\n', SIZEWISE_CACHE=str(tmp_path)) as server:
            assert graphql(server, "{ tuningRuns { setup } }").data["tuningRuns"] == [{"setup": setup}]


def test_what_needs_no_tuning_is_told_and_not_trained(tmp_path: Path) -> None:
    RunStore(tmp_path).save(planned(baselines={"prompting": Measured((False,) * 20), "head": GOOD}))
    done = sizewise("tune", "run", "intents", home=tmp_path)
    assert done.code == 1
    assert "next: leave it to a head, which [learn] trains by itself" in done.out


def test_the_size_is_told_before_anything_is_installed(tmp_path: Path) -> None:
    done = sizewise("tune", "setup", home=tmp_path, stdin="n\n", SIZEWISE_CACHE=str(tmp_path))
    assert done.code == 130
    assert "about 250 MB to download" in done.err and "1.1 GB on disk" in done.err
    assert not (tmp_path / "tuning-environment").exists()


@pytest.mark.parametrize(
    ("words", "why", "hint"),
    [
        (
            ("plan", "intents", "absent.jsonl"),
            "absent.jsonl' cannot be read: No such file or directory\n",
            "JSONL file in UTF-8",
        ),
        (("plan", "Not A Name", "data.jsonl"), "is not a name of a tuning run", "Use a-z, 0-9 and -"),
        (("plan", "intents", "data.jsonl", "--base", "local/nothing"), "there is no local model", ""),
        (("status", "intent"), "there is no tuning run 'intent'", "intents"),
        (("promote", "intents"), "is not trained yet", "sizewise tune run intents"),
    ],
)
def test_wrong_use_is_told_with_the_next_step(tmp_path: Path, words: tuple[str, ...], why: str, hint: str) -> None:
    RunStore(tmp_path).save(planned())
    (tmp_path / "data.jsonl").write_text("{}\n")
    done = sizewise("tune", *words, home=tmp_path)
    assert done.code in (2, 3) and why in done.err and hint in done.hint, done.err


@pytest.mark.parametrize(
    ("state", "hint"),
    [
        ("training", "Continue it: sizewise tune run intents"),
        ("trained", "Use another name, or: sizewise tune delete intents"),
        ("promoted", "Use another name, or: sizewise tune delete intents"),
    ],
)
def test_a_run_that_began_is_not_planned_again(tmp_path: Path, smollm_gguf: Path, state: str, hint: str) -> None:
    RunStore(tmp_path).save(planned(state=state))
    done = sizewise("tune", "plan", "intents", "data.jsonl", home=tmp_path)
    assert done.code == 2 and f"the tuning run 'intents' is {state}" in done.err and done.hint == f"hint: {hint}"


def test_a_refused_run_is_not_promoted(tmp_path: Path) -> None:
    RunStore(tmp_path).save(planned(state="trained", tuned=GOOD, refused="it is not certain to be better"))
    done = sizewise("tune", "promote", "intents", home=tmp_path)
    assert done.code == 2 and "did not pass its gate: it is not certain to be better" in done.err


def test_runs_are_listed_shown_and_deleted_with_their_model(tmp_path: Path, smollm_gguf: Path) -> None:
    store, sha256 = RunStore(tmp_path), "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    done = planned(
        base_sha256=sha256,
        state="trained",
        tuned=GOOD,
        equality=Equality(20, 20, 0.004),
        cost=TrainingCost(90.0, 70.0, 2_100_000_000),
    )
    store.save(done)
    assert sizewise("tune", home=tmp_path).out.splitlines()[1].split()[:4] == [
        "intents",
        "local/smollm2-135m",
        "trained",
        "80",
    ]
    shown = sizewise("tune", "status", "intents", home=tmp_path).out
    assert "95.0% right" in shown and "20 of 20 answers as in PyTorch" in shown
    assert "70 s of processor time, 2.1 GB of memory, 90 s on the clock" in shown
    assert sizewise("tune", "promote", "intents", "--json", home=tmp_path).json["model"] == "local/intents"
    assert user_models(tmp_path)["intents"].weights.adapter == str(store.folder("intents") / "adapter.gguf")
    assert "sizewise tune delete intents" in sizewise("models", "rm", "local/intents", home=tmp_path).err
    assert json.loads(sizewise("tune", "list", "--json", home=tmp_path).out)["runs"][0]["state"] == "promoted"
    assert sizewise("tune", "delete", "intents", home=tmp_path).code == 0
    assert "intents" not in user_models(tmp_path) and not store.folder("intents").exists()
