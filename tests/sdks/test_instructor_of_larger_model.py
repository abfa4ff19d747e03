"""Instructor, unchanged, gets answers of a given shape from the 1.5B of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running_server import serving
from tests.sdks.apart import run_cases
from tests.stories.test_first_light import only

pytestmark = pytest.mark.large
MODES = ("TOOLS", "JSON_SCHEMA")
SETTINGS = """
[server]
discover = false
[router]
timeout_s = 900
[local]
slots = 1
context = 4096
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, qwen_gguf: Path) -> Iterator[dict[str, Any]]:
    home = tmp_path_factory.mktemp("instructor")
    with serving(home, SETTINGS, SIZEWISE_CACHE=str(only(qwen_gguf, home / "cache"))) as served:
        yield run_cases(
            "instructor_cases.py",
            "sdks",
            3_600,
            MODEL="local/qwen2.5-coder-1.5b",
            SIZEWISE_URL=served.url,
            SIZEWISE_KEY=served.key,
        )


@pytest.mark.parametrize("mode", MODES)
def test_an_answer_of_the_larger_model_has_the_shape_that_was_asked_for(results: dict[str, Any], mode: str) -> None:
    assert results[mode] == {"name": "Ulm", "people": 128_000, "tokens": True}


@pytest.mark.parametrize("mode", MODES)
def test_an_answer_of_the_larger_model_streams_to_the_same_shape(results: dict[str, Any], mode: str) -> None:
    """A forced call is sent when it is whole, so only the answer by a schema grows."""
    streamed = results[f"{mode} streamed"]
    assert (streamed["name"], streamed["people"]) == ("Ulm", 128_000)
    assert mode == "TOOLS" or streamed["grew"]


@pytest.mark.parametrize("mode", MODES)
def test_the_larger_model_is_asked_again_with_what_was_wrong(results: dict[str, Any], mode: str) -> None:
    assert results[f"{mode} again"] == {"kind": "Choosy", "tries": 2}
