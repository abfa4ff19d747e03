"""The shop assistant: the till answers what it is sure of, asks a real gateway the rest, and keeps customers' data."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.archives import unpack
from tests.cli.terminal import sizewise
from tests.examples.example_runner import EXAMPLES, QUIET, ask, copied, records
from tests.running_server import Served, serving, until

pytestmark = pytest.mark.long
URL, SMALL = "https://llm.example.com/v1", '"local/smollm2-135m"'
ECHO_SMALL = """
[providers.echo]
wire = "echo"
place = "process"
models = ["small"]
[models."echo/small"]
parameters = 100_000_000
logprobs = true
"""
SURE, UNSURE = "[[echo/small: logprob -0.1]]", "[[echo/small: logprob -5]]"
CUSTOMER = "I am ada@example.org, where is my parcel?"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("gateway")) as served:
        yield served


@pytest.fixture(scope="module")
def till(gateway: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The small model is the echo, which says how sure it is."""
    folder, instead = tmp_path_factory.mktemp("till"), {URL: f"{gateway.url}/v1", SMALL: '"echo/small"'}
    with copied("shop", folder, over=ECHO_SMALL, instead=instead, SHOP_KEY=gateway.key) as served:
        yield served


def came(gateway: Served) -> int:
    """Requests that the gateway has answered."""
    page: Any = gateway.ask("/metrics").body.decode()
    counts = [line.rpartition(" ")[2] for line in page.splitlines() if line.startswith("sizewise_requests_total{")]
    return sum(int(float(each)) for each in counts)


def models(till: Served, said: Any) -> list[str]:
    (row,) = records(till, said["trace"])[:1]
    return [str(each["model"]) for each in row["attempts"]]


def test_what_the_small_model_is_sure_of_is_answered_at_the_till(gateway: Served, till: Served) -> None:
    before = came(gateway)
    said = ask(till, "shop", f"Where are the screws? {SURE}")
    assert said["outputs"]["model"] == "echo/small" and "screws" in said["text"]
    assert came(gateway) == before


def test_what_it_is_not_sure_of_is_asked_at_the_gateway(gateway: Served, till: Served) -> None:
    before = came(gateway)
    said = ask(till, "shop", f"Which glue holds oak on steel? {UNSURE}")
    assert said["outputs"]["model"] == "shop/auto"
    until(lambda: came(gateway) == before + 1)


def test_what_is_about_a_customer_stays_at_the_till_however_unsure_it_is(gateway: Served, till: Served) -> None:
    before = came(gateway)
    said = ask(till, "shop", f"{CUSTOMER} {UNSURE}")
    assert said["outputs"]["model"] == "echo/small"
    (row,) = records(till, said["trace"])[:1]
    assert row["dataClass"] == "confidential" and models(till, said) == ["echo/small"]
    assert "confidential data (set by the guardrail pii) may go no further than 'machine'" in row["why"]
    assert came(gateway) == before


def test_while_the_gateway_is_away_the_small_model_answers(tmp_path: Path) -> None:
    instead = {URL: "http://127.0.0.1:9/v1", SMALL: '"echo/small"'}
    with copied("shop", tmp_path, over=ECHO_SMALL, instead=instead, SHOP_KEY="sk-x") as till:
        said = ask(till, "shop", f"Which glue holds oak on steel? {UNSURE}")
        assert said["outputs"]["model"] == "echo/small"
        assert records(till, said["trace"])[0]["degraded"].startswith("trusted only at 0.01, and shop/auto failed")


def test_from_the_archive_the_135m_answers_without_a_gateway(tmp_path: Path, smollm_gguf: Path) -> None:
    settings = {"SIZEWISE_CACHE": str(smollm_gguf.parents[1]), "SHOP_KEY": "sk-x"}
    words = ("--config", str(EXAMPLES / "shop/sizewise.toml"), "--out", str(tmp_path / "till.tar.gz"))
    made = sizewise("edge", "pack", "--model", "smollm2-135m", "--gate", "counter", *words, home=tmp_path, **settings)
    assert made.code == 0, made.err
    with tarfile.open(tmp_path / "till.tar.gz") as archive:
        unpack(archive, tmp_path)
    machine = tmp_path / "sizewise-edge"
    config = (machine / "home/sizewise.toml").read_text().replace(URL, "http://127.0.0.1:9/v1")
    places = {"SIZEWISE_CACHE": str(machine / "cache"), "SHOP_KEY": "sk-x"}
    with serving(machine / "home", config + QUIET, **places) as till:
        said = ask(till, "shop", CUSTOMER)
        assert said["outputs"]["model"] == "local/smollm2-135m" and said["text"]
