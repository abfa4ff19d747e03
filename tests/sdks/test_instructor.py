"""Instructor, unchanged, in a virtual environment of its own: its script runs once, each test looks at one thing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.running_server import environment
from tests.sdks.apart import python
from tests.sdks.conftest import Able

pytestmark = pytest.mark.apart
MODES = ("TOOLS", "JSON_SCHEMA")


@pytest.fixture(scope="module")
def results(able: Able) -> dict[str, Any]:
    script = str(Path(__file__).with_name("instructor_cases.py"))
    env = environment(**able.environ)
    done = subprocess.run([python(), script], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


@pytest.mark.parametrize("mode", MODES)
def test_an_answer_has_the_shape_that_was_asked_for(results: dict[str, Any], mode: str) -> None:
    assert results[mode] == {"name": "Ulm", "people": 128_000, "tokens": True}


@pytest.mark.parametrize("mode", MODES)
def test_an_answer_grows_while_it_streams(results: dict[str, Any], mode: str) -> None:
    assert results[f"{mode} streamed"] == {"name": "Ulm", "people": 128_000, "grew": True}


@pytest.mark.parametrize("mode", MODES)
def test_an_answer_that_is_not_good_enough_is_asked_for_again(results: dict[str, Any], mode: str) -> None:
    assert results[f"{mode} again"] == {"kind": "Choosy", "tries": 2}
