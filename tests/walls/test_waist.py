"""The two pages that everybody reads stay small: few kinds of event at the waist, and wiring that only wires."""

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
def test_what_passes_the_waist_cannot_change(kind: type[Struct]) -> None:
    assert kind.__struct_config__.frozen


def test_the_wiring_stays_on_one_page() -> None:
    assert len(application_lines().lines) <= MOST_LINES, "give the room concerned its own open()"


def test_the_wiring_waits_for_nobody() -> None:
    """No request passes through house.py itself: it neither awaits nor loops until something happens."""
    waits = [
        node for node in ast.walk(application_lines().tree) if isinstance(node, (ast.Await, ast.While, ast.AsyncFor))
    ]
    assert [application_lines().at(node, "waits") for node in waits] == []
