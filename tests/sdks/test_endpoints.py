"""Files, vector stores, background responses, moderation, audio and images as SDKs that are not Python call them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.media_upstream import AUDIO, TEXT, MediaUpstream
from tests.gateway.server_harness import beside
from tests.gateway.vector_store_client import MANAGER, key_of
from tests.running_server import serving
from tests.sdks.conftest import BACK, Able
from tests.sdks.test_node import HERE, node

pytestmark = pytest.mark.node
MEDIA = """
[knowledge.vector_stores]
embedding_model = "able/vectors"
[providers.media]
base_url = "{url}"
place = "machine"
[models."media/voice"]
task = "speak"
[models."media/ear"]
task = "transcribe"
[models."media/brush"]
task = "image"
"""
HEARD = {"bytes": len(AUDIO), "heard": TEXT}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Each case by name; one that threw says so."""
    with (
        beside(MediaUpstream) as media,
        serving(tmp_path_factory.mktemp("endpoints"), BACK + MEDIA.format(url=media.url)) as server,
    ):
        env = {"PATH": os.environ.get("PATH", ""), **Able(server.url, key_of(server, MANAGER)).environ}
        words = [node(), "endpoints.mjs"]
        done = subprocess.run(words, cwd=HERE, env=env, capture_output=True, text=True, timeout=300)
        assert (done.returncode, done.stderr) == (0, "")
        yield json.loads(done.stdout)


def test_no_sdk_calls_home(cases: dict[str, Any]) -> None:
    assert cases["strangers"] == []


def test_openai_stores_lists_reads_and_deletes_a_file(cases: dict[str, Any]) -> None:
    assert cases["files"] == {"text": "The Rhine flows by Bonn.", "bytes": 24, "listed": True, "deleted": True}


def test_openai_searches_a_vector_store_and_so_does_a_response(cases: dict[str, Any]) -> None:
    found = {"status": "completed", "found": "rivers.txt", "deleted": True}
    assert cases["vector_stores"] == {**found, "kinds": ["file_search_call", "message"]}


def test_openai_polls_and_streams_a_background_response(cases: dict[str, Any]) -> None:
    assert cases["background"] == {"begun": "queued", "text": "one two three", "last": "response.completed"}


def test_openai_moderates(cases: dict[str, Any]) -> None:
    assert cases["moderations"] == {"flagged": False, "kind": "number"}


@pytest.mark.parametrize("sdk", ["audio", "ai_audio"])
def test_speech_and_transcription_come_back(cases: dict[str, Any], sdk: str) -> None:
    assert cases[sdk] == HEARD


def test_images_come_back(cases: dict[str, Any]) -> None:
    assert cases["images"] == {"drawn": True, "changed": True}
    assert cases["ai_images"] == {"drawn": True}


def test_vercel_uploads_a_file(cases: dict[str, Any]) -> None:
    assert cases["ai_files"] == {"id": True}
