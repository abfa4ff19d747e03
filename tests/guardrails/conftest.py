"""Doubles of model servers that every test of guards asks through a real server, each in a loop of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.fake_anthropic import FakeAnthropic
from tests.fakes.fake_openai_echo import FakeOpenAIEcho
from tests.fakes.fake_responses import FakeResponses
from tests.gateway.server_harness import beside


@pytest.fixture(scope="module")
def mirror() -> Iterator[FakeOpenAIEcho]:
    with beside(FakeOpenAIEcho) as up:
        yield up


@pytest.fixture(scope="module")
def claude() -> Iterator[FakeAnthropic]:
    with beside(FakeAnthropic) as up:
        yield up


@pytest.fixture(scope="module")
def responses() -> Iterator[FakeResponses]:
    with beside(FakeResponses) as up:
        yield up
