"""Every wire passes the one kit, with what its vendor says and what clients ask; a wire joins by its entry point."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given

from sizewise.plugins import load_plugin, plugin_names
from sizewise.testing import stream_conformance, wire_conformance
from sizewise.testing.wire_conformance import WireCase
from tests.properties import examples, tried_with_all
from tests.wires.strategies import chats, deep
from tests.wires.wire_cases import requests, speaking

WIRES = plugin_names("wires")
pytestmark = tried_with_all
many = examples(150)


@pytest.mark.parametrize("wire", WIRES)
def test_a_wire_that_is_declared_is_the_one_that_speaks(wire: str) -> None:
    assert load_plugin("wires", wire) is speaking(wire).wire


@pytest.mark.long
@pytest.mark.parametrize("check", stream_conformance.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("wire", WIRES)
def test_a_wire(wire: str, check: Callable[[WireCase], None]) -> None:
    check(speaking(wire))


@pytest.mark.parametrize("wire", WIRES)
def test_a_body_of_this_wire_is_sent_on_as_it_came(wire: str) -> None:
    @many
    @given(requests(wire))
    def always(body: bytes) -> None:
        wire_conformance.passes_requests_through(speaking(wire), body)
        wire_conformance.refuses_untranslatable_requests(speaking(wire), body)

    always()


@pytest.mark.parametrize("wire", WIRES)
def test_a_conversation_survives_this_wire_and_back(wire: str) -> None:
    @many
    @given(chats)
    def always(body: bytes) -> None:
        wire_conformance.round_trips_conversations(speaking(wire), body)

    always()


@pytest.mark.parametrize("depth", [1, 60, *range(900, 1030, 10), 5_000, 100_000])
@pytest.mark.parametrize("wire", WIRES)
def test_depth_is_kept_or_refused_in_words(wire: str, depth: int) -> None:
    wire_conformance.refuses_untranslatable_requests(speaking(wire), deep(depth))
    if depth <= 60:
        wire_conformance.round_trips_conversations(speaking(wire), deep(depth))
