"""Clients that leave, take nothing, stop in mid-body or speak HTTP/1.0, at every endpoint: nothing leaks."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from hashlib import md5

import pytest

from sizewise.testing.faults import FaultyUpstream
from sizewise.testing.wire_samples import PIECES, TEXT
from tests.gateway.fault_matrix import BACKUP, ENDPOINTS, VECTOR, Endpoint, Lane, error_in, events
from tests.gateway.leak_checks import at_rest, in_flight, resident
from tests.gateway.server_harness import Line, booked
from tests.running_server import Served, until

EACH = [(endpoint, stream) for endpoint in ENDPOINTS for stream in ((False, True) if endpoint.stream else (False,))]
STREAMS = [endpoint for endpoint, stream in EACH if stream]
MOST = 40_000_000  # bytes that one client who takes nothing may cost


@pytest.fixture
def server(lanes: dict[Lane, Served], faulty: FaultyUpstream) -> Iterator[Callable[[Endpoint], Served]]:
    """The one behind an endpoint; afterwards both must be at rest."""
    yield lambda endpoint: lanes[endpoint.lane]
    for served in lanes.values():
        at_rest(served, faulty)


def patient(endpoint: Endpoint, fault: str) -> str:
    return f"{'patient' if endpoint.stream else 'vectors'}/{fault}"


def trace(*about: object) -> str:
    return md5(repr([str(each) for each in about]).encode(), usedforsecurity=False).hexdigest()


def asks(line: Line, endpoint: Endpoint, model: str, stream: bool, trace: str = "", version: str = "1.1") -> bytes:
    body = json.dumps(endpoint.body(model, "x", stream)).encode()
    return line.request(endpoint.path, body, *([f"x-sizewise-trace: {trace}"] if trace else []), version=version)


def left(served: Served, trace: str) -> None:
    """It is on record that the client left, and the model with it."""
    until(lambda: booked(served.home, trace))
    (record,) = booked(served.home, trace)
    assert (record["status"], record["error"]) == (499, "cancelled")
    assert [each["result"] for each in record["tries"]] == ["cancelled"]


@pytest.mark.parametrize(("endpoint", "stream"), EACH, ids=str)
def test_who_leaves_before_the_first_word_stops_the_model(
    server: Callable[[Endpoint], Served],
    faulty: FaultyUpstream,
    endpoint: Endpoint,
    stream: bool,
) -> None:
    served, gone, asked, mine = (
        server(endpoint),
        faulty.received.disconnects,
        len(faulty.received.bodies),
        trace("before", endpoint, stream),
    )
    with Line(served) as line:
        line.say(asks(line, endpoint, patient(endpoint, "hang"), stream, mine))
        until(lambda: len(faulty.received.bodies) > asked)
    until(lambda: faulty.received.disconnects > gone)
    left(served, mine)


@pytest.mark.parametrize("endpoint", STREAMS, ids=str)
@pytest.mark.parametrize("fault", ["hang-word", "endless"])
def test_who_leaves_after_the_first_word_stops_the_model(
    server: Callable[[Endpoint], Served],
    faulty: FaultyUpstream,
    endpoint: Endpoint,
    fault: str,
) -> None:
    served, gone, mine = server(endpoint), faulty.received.disconnects, trace("after", endpoint, fault)
    with Line(served) as line:
        line.say(asks(line, endpoint, patient(endpoint, fault), True, mine))
        assert line.head()[0] == 200
        word = (PIECES[1] if fault == "endless" else PIECES[0]).encode()
        while word not in line.chunk():
            pass
    until(lambda: faulty.received.disconnects > gone)
    left(served, mine)


@pytest.mark.long
@pytest.mark.parametrize("endpoint", STREAMS, ids=str)
def test_who_takes_nothing_costs_little_and_is_left_in_the_end(
    server: Callable[[Endpoint], Served],
    endpoint: Endpoint,
) -> None:
    served, mine = server(endpoint), trace("nothing", endpoint)
    before = resident(served)
    with Line(served) as line:
        line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        line.say(asks(line, endpoint, patient(endpoint, "flood"), True, mine))
        until(lambda: in_flight(served) == 1)
        until(lambda: in_flight(served) == 0)
        assert resident(served) - before < MOST
    left(served, mine)


@pytest.mark.long
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
@pytest.mark.parametrize("sent", [0, 10])
def test_a_body_that_stops_half_way_is_answered_in_time_and_the_connection_closed(
    server: Callable[[Endpoint], Served],
    endpoint: Endpoint,
    sent: int,
) -> None:
    with Line(server(endpoint)) as line:
        line.say(line.request(endpoint.path, b"", "content-length: 1000") + b"x" * sent)
        answer = line.answer()
        assert (answer.status, error_in(endpoint, answer.json)["code"]) == (408, "body_too_slow")  # type: ignore[arg-type]  # an object
        assert answer.headers["connection"] == "close"
        assert line.ended()


def test_a_body_that_stops_behind_a_slow_answer_waits_for_its_turn(server: Callable[[Endpoint], Served]) -> None:
    endpoint = ENDPOINTS[0]
    with Line(server(endpoint)) as line:
        slow = f"openai-chat-{endpoint.lane}-whole-named/drips"
        line.say(asks(line, endpoint, slow, False) + line.request(endpoint.path, b"", "content-length: 1000"))
        assert endpoint.text(line.answer().json) == TEXT  # type: ignore[arg-type]  # an object
        assert line.answer().status == 408
        assert line.ended()


def test_graphql_waits_no_longer_for_a_body(server: Callable[[Endpoint], Served]) -> None:
    for endpoint in ENDPOINTS[:2]:
        with Line(server(endpoint)) as line:
            head = ("content-type: application/json", "content-length: 1000")
            line.say(line.request("/graphql", b"", *head))
            assert line.answer().status == 408
            assert line.ended()


@pytest.mark.parametrize(("endpoint", "stream"), EACH, ids=str)
def test_http_1_0_gets_what_it_can_read(server: Callable[[Endpoint], Served], endpoint: Endpoint, stream: bool) -> None:
    with Line(server(endpoint)) as line:
        line.say(asks(line, endpoint, BACKUP if endpoint.stream else "vectors/well", stream, version="1.0"))
        answer = line.answer()
        assert answer.status == 200 and "transfer-encoding" not in answer.headers
        if stream:
            assert endpoint.stream is not None
            assert endpoint.stream(list(events(answer.body.decode()))).text == TEXT
        else:
            assert endpoint.text(answer.json) == (TEXT if endpoint.stream else VECTOR)  # type: ignore[arg-type]  # an object
        assert line.ended()
