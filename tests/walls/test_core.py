"""The two core files stay small: at most ten kinds of event in handler.py, and wiring only in application.py."""

from __future__ import annotations

import ast
from typing import get_args

import pytest
from msgspec import Struct

from sizewise.handler import Event
from sizewise.routing.policy import Move
from tests.walls.source import ROOT, Source

MOST_EVENTS = 10
MOST_LINES = 200


def application_lines() -> Source:
    path = "sizewise/app/application.py"
    return Source(path, (ROOT / path).read_text())


def test_there_are_at_most_ten_kinds_of_event() -> None:
    assert len(get_args(Event)) <= MOST_EVENTS, "a new event needs a decision record, an eleventh a new idea"


@pytest.mark.parametrize("kind", [*get_args(Event), *get_args(Move)], ids=lambda kind: kind.__name__)
def test_events_and_moves_are_immutable(kind: type[Struct]) -> None:
    assert kind.__struct_config__.frozen


def test_the_wiring_stays_on_one_page() -> None:
    assert len(application_lines().lines) <= MOST_LINES, "move construction into the package concerned"


def test_the_wiring_awaits_nothing() -> None:
    """No request passes through application.py: it has no await and no loop that waits."""
    waits = [
        node for node in ast.walk(application_lines().tree) if isinstance(node, (ast.Await, ast.While, ast.AsyncFor))
    ]
    assert [application_lines().at(node, "waits") for node in waits] == []
