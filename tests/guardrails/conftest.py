"""Doubles of model servers that every test of guards asks through a real server, each in a loop of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.fake_anthropic import Anthropic
from tests.fakes.fake_openai_echo import Mirror
from tests.fakes.fake_responses import Responses
from tests.gateway.server_harness import beside


@pytest.fixture(scope="module")
def mirror() -> Iterator[Mirror]:
    with beside(Mirror) as up:
        yield up


@pytest.fixture(scope="module")
def claude() -> Iterator[Anthropic]:
    with beside(Anthropic) as up:
        yield up


@pytest.fixture(scope="module")
def responses() -> Iterator[Responses]:
    with beside(Responses) as up:
        yield up
