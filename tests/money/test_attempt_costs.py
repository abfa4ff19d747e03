"""Whatever becomes of an attempt, it is booked at its price: cut, left, discarded, failed after work, tried again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sizewise.testing.upstream import FAULTS
from tests.gateway.server_harness import CHAT, Line, booked, misbehaving, question
from tests.running_server import Answer, Served, serving, until

IN, OUT = 1_000_000, 2_500_000  # pico-dollars a token, at 1 and 2.5 dollars a million


def config(url: str) -> str:
    """One misbehaving provider under two names, so that each has a pulse of its own, and two echo models."""
    rates = 'price = {input = "1", output = "2.5"}\n'
    models = "".join(f'[models."{name}/{fault}"]\n{rates}' for name in ("bad", "cut", "left") for fault in FAULTS)
    table = f'base_url = "{url}"\nplace = "machine"\ntimeouts = {{first_byte_s = 0.3, idle_s = 0.3}}\n'
    patient = table.replace("idle_s = 0.3", "idle_s = 30")
    return f"""
[server]
embedded = false
discover = false
[providers.bad]
{table}
[providers.cut]
{table}
[providers.left]
{patient}
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large"]
[models."echo/small"]
parameters = 100_000_000
{rates}
[models."echo/large"]
parameters = 70_000_000_000
price = {{input = "10", output = "25"}}
[policies.again]
kind = "cheapest"
models = ["bad/html", "echo/large"]
retries = 1
[policies.default]
kind = "cascade"
threshold = 0.5
models = ["echo/small", "echo/large"]
{models}
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with misbehaving() as up, serving(tmp_path_factory.mktemp("booked"), config(up.url)) as served:
        yield served


def record(app: Served, trace: str) -> dict[str, Any]:
    """The one record of a trace; its cost is the sum of its attempts, each at its model's price."""
    until(lambda: booked(app.home, trace))
    (found,) = booked(app.home, trace)
    for one in found["tries"]:
        times = 10 if one["model"] == "echo/large" else 1
        assert one["cost"] == times * (one["input"] * IN + one["output"] * OUT)
    assert found["cost"] == sum(one["cost"] for one in found["tries"])
    return found


def of(app: Served, answer: Answer) -> dict[str, Any]:
    return record(app, answer.headers["x-sizewise-trace"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["hang", "html", "list"])
def test_an_attempt_that_failed_after_it_read_the_prompt_is_paid_for_by_estimate(
    fault: str,
    stream: bool,
    house: Served,
) -> None:
    (one,) = of(house, house.chat(f"bad/{fault}", "a prompt of some length", stream=stream))["tries"]
    assert (one["result"], one["estimated"], one["output"]) == ("failed", 1, 0) and one["cost"] > 0


@pytest.mark.parametrize("fault", ["busy", "refuses", "locked", "broken", "reset"])
def test_a_refusal_costs_nothing(fault: str, house: Served) -> None:
    found = of(house, house.chat(f"bad/{fault}", "a prompt of some length"))
    assert found["status"] >= 400 and found["cost"] == 0 and found["estimated"] == 0


@pytest.mark.parametrize("fault", ["reset-mid", "half-frame", "no-finish", "error-mid", "hang-mid"])
def test_a_stream_cut_short_is_paid_for_as_far_as_it_came(fault: str, house: Served) -> None:
    (one,) = of(house, house.chat(f"cut/{fault}", stream=True))["tries"]
    assert (one["result"], one["estimated"], one["output"]) == ("failed", 1, 1) and one["input"] > 0


def test_a_client_that_leaves_pays_for_what_it_had(house: Served) -> None:
    trace = "c" * 32
    with Line(house) as line:
        line.say(line.request(CHAT, question(model="left/hang-mid", stream=True), f"x-sizewise-trace: {trace}"))
        assert line.head()[0] == 200
        line.chunk()
    found = record(house, trace)
    (one,) = found["tries"]
    assert (found["status"], one["result"], one["estimated"], one["output"]) == (499, "cancelled", 1, 1)


@pytest.mark.parametrize("stream", [False, True])
def test_every_try_again_is_an_attempt_of_its_own(stream: bool, house: Served) -> None:
    found = of(house, house.chat("auto:again", "one two", stream=stream))
    assert [one["model"] for one in found["tries"]][-1] == "echo/large"
    assert [one["result"] for one in found["tries"]].count("failed") >= 1
    assert found["cost"] > found["tries"][-1]["cost"]
    assert found["estimated"] == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_discarded_answer_is_paid_for_beside_the_one_that_was_shown(stream: bool, house: Served) -> None:
    answer = house.chat("auto", "[[echo/small: say I am not sure]] one two", stream=stream)
    found = of(house, answer)
    assert [one["result"] for one in found["tries"]] == ["distrusted", "answered"]
    # 8 words in, 4 out at 1 and 2.5; 8 in, 2 out at 10 and 25 dollars a million
    assert found["cost"] == 8 * 1_000_000 + 4 * 2_500_000 + 8 * 10_000_000 + 2 * 25_000_000
    if not stream:
        assert answer.headers["x-sizewise-cost-usd"] == "0.000148"
