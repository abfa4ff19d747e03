"""What a request leaves behind is freed at once and not by the collector, which comes to the old only rarely."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import pytest

from sizewise.testing.faults import FaultyUpstream
from tests.gateway.fault_matrix import ENDPOINTS, Endpoint
from tests.gateway.leak_checks import in_flight
from tests.gateway.server_harness import Line
from tests.running_server import Served, serving, until

pytestmark = pytest.mark.long

FAULTS = ("well", "refuses", "broken", "busy", "reset-word", "half-frame", "hang", "hang-word")
LEFT = ("hang", "hang-word")
EACH = 30
EXPECTED_ALIVE = ("ModelMetrics", "RequestCounter", "ModelPace", "LoadPace", "PaceFigures", "AttemptFinished")
"""One a model, a load, or a policy and status, and the newest attempts of each model, which are bounded."""
MARGIN = 12  # of a kind: an idle connection for each provider comes in the first round


@pytest.fixture(scope="module")
def uncollected(faulty: FaultyUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Many providers of the same upstream: a model that fails is left alone after a while, and these are fresh."""
    row = '[providers.up{n}]\nbase_url = "{url}"\nplace = "machine"\nmodels = {models}'
    rows = [row.format(n=n, url=faulty.url, models=json.dumps(FAULTS)) for n in range(2 * EACH)]
    config = "[server]\nembedded = false\ndiscover = false\n" + "\n".join(rows)
    program = str(Path(__file__).with_name("gc_disabled_server.py"))
    with serving(tmp_path_factory.mktemp("cycles"), config, program=program) as served:
        yield served


def alive(served: Served) -> dict[str, int]:
    """Objects of the server, of each kind of ours."""
    before = len(served.said)
    served.process.send_signal(signal.SIGUSR1)
    until(lambda: [line for line in served.said[before:] if line.startswith("alive ")])
    counted: dict[str, int] = json.loads(served.said[-1].removeprefix("alive "))
    return counted


def collected(served: Served) -> int:
    """Objects in cycles since the last look."""
    before = len(served.said)
    served.process.send_signal(signal.SIGUSR2)
    until(lambda: [line for line in served.said[before:] if line.startswith("collected ")])
    return int(served.said[-1].removeprefix("collected "))


def ask(served: Served, endpoint: Endpoint, fault: str, stream: bool, provider: int) -> None:
    """On a connection of its own; to its end, or until the client has enough of waiting."""
    with Line(served) as line:
        line.say(line.request(endpoint.path, json.dumps(endpoint.body(f"up{provider}/{fault}", "x", stream)).encode()))
        if fault in LEFT:
            until(lambda: in_flight(served) > 0)
        else:
            line.answer()


@pytest.mark.parametrize("endpoint", [endpoint for endpoint in ENDPOINTS if endpoint.lane == "fast"], ids=str)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_waits_for_the_collector(uncollected: Served, endpoint: Endpoint, stream: bool, fault: str) -> None:
    ask(uncollected, endpoint, fault, stream, 0)
    until(lambda: in_flight(uncollected) == 0)
    before = alive(uncollected)
    for provider in range(EACH):
        ask(uncollected, endpoint, fault, stream, provider)
    until(lambda: in_flight(uncollected) == 0)
    left = {
        kind: count - before.get(kind, 0) for kind, count in alive(uncollected).items() if kind not in EXPECTED_ALIVE
    }
    assert {kind: more for kind, more in left.items() if more > MARGIN} == {}


def test_an_idle_server_makes_no_cycles(uncollected: Served) -> None:
    """Each of its polls, once a second, left some: 14 MB an hour until the collector came. The first run of each task
    may leave some.
    """

    def none_while_idle() -> bool:
        collected(uncollected)
        sleep(2.5)
        return collected(uncollected) == 0

    until(none_while_idle)
