"""The openai SDK's `images` through the front door: generations, edits and variations, priced by the image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.fakes.media_upstream import PICTURE, MediaUpstream
from tests.gateway.media_server import events, form, post, record_of, sdk, settings
from tests.gateway.server_harness import SECRET, beside
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, serving

GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
PNG = b"\x89PNG" + bytes(2000)
CENT = 10**10
"""Pico-dollars."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[MediaUpstream]:
    with beside(MediaUpstream) as up:
        yield up


@pytest.fixture(scope="module")
def server(upstream: MediaUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("images"), settings(upstream.url), UPSTREAM_KEY=SECRET) as served:
        yield served
        assert "Traceback" not in "".join(served.said)


def generated(served: Served, **body: Any) -> Any:
    return served.ask(GENERATIONS, {"model": "up/brush", "prompt": "A cat", **body})


def test_images_are_the_provider_s_with_a_record_by_the_image(server: Served, upstream: MediaUpstream) -> None:
    with sdk(server) as client:
        made = client.images.with_raw_response.generate(model="up/brush", prompt="A cat", n=2)
    images = made.parse().data
    assert images is not None and [each.b64_json for each in images] == [PICTURE] * 2
    assert images[0].revised_prompt == "a nice A cat"
    assert upstream.received.paths[-1] == "/images/generations"
    assert upstream.received.bodies[-1] == {"model": "brush", "prompt": "A cat", "n": 2}
    record = record_of(server, made)
    assert (record["door"], record["images"], record["cost"]) == ("images", 2, 8 * CENT)
    assert made.headers["x-sizewise-cost-usd"] == "0.08"


@pytest.mark.parametrize(
    ("asked", "cents"),
    [({}, 4), ({"size": "1024x1024"}, 2), ({"size": "1024x1024", "quality": "hd"}, 8),
     ({"size": "1024x1024", "quality": "low"}, 2), ({"size": "auto", "quality": "auto"}, 4),
     ({"size": "8x8", "n": 3}, 12)],
    ids=["no size", "a size", "a quality and size", "another quality", "what the provider chooses", "another size"],
)  # fmt: skip
def test_an_image_costs_by_its_size_and_quality(server: Served, asked: dict[str, Any], cents: int) -> None:
    assert record_of(server, generated(server, **asked))["cost"] == cents * CENT


def test_an_image_model_may_be_priced_by_tokens(server: Served) -> None:
    record = record_of(server, generated(server, model="up/by-token"))
    assert (record["input"], record["output"], record["cost"]) == (14, 45, 14 * 5_000_000 + 45 * 40_000_000)


def test_images_stream_as_the_provider_s_events(server: Served) -> None:
    with sdk(server) as client:
        made = client.images.generate(model="up/brush", prompt="A cat", stream=True, partial_images=1)
        assert [event.type for event in made] == ["image_generation.partial_image", "image_generation.completed"]
    answer = generated(server, stream=True)
    assert events(answer)[-1]["b64_json"] == PICTURE and record_of(server, answer)["images"] == 1


def test_an_image_model_has_no_pace_in_tokens_that_a_deadline_could_be_missed_by(server: Served) -> None:
    answer = generated(server, n=3, sizewise={"max_ms": 60_000})
    assert answer.status == 200 and record_of(server, answer)["images"] == 3
    asked = '{ model(name: "up/brush") { task pace { requests } } }'
    assert graphql(server, asked).data["model"] == {"task": "image", "pace": []}


def test_edits_and_variations_send_their_images(server: Served, upstream: MediaUpstream) -> None:
    with sdk(server) as client:
        made = client.images.edit(
            model="up/brush", prompt="A hat", image=[("Anna.png", PNG), ("b.png", PNG)], mask=("m.png", PNG)
        )
        assert made.data is not None and made.data[0].b64_json == PICTURE
        sent = upstream.uploads[-1]
        assert sent.path == "/images/edits" and sent.fields() == {
            "model": ["brush"], "prompt": ["A hat"], "image[]": [f'"image.png":{len(PNG)}'] * 2,
            "mask": [f'"image.png":{len(PNG)}'],
        }  # fmt: skip
        varied = client.images.create_variation(model="up/brush", image=("c.png", PNG), n=2)
        assert varied.data is not None and len(varied.data) == 2 and upstream.uploads[-1].path == "/images/variations"


def test_a_prompt_with_personal_data_reaches_no_distant_model(server: Served, upstream: MediaUpstream) -> None:
    already = len(upstream.received.bodies)
    answer = generated(server, prompt="A letter to anna@example.org")
    assert (answer.status, answer.error["code"]) == (400, "guard_blocked") and len(upstream.received.bodies) == already


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [({"prompt": None}, 400, "prompt"), ({"model": None}, 400, "model"), ({"n": 0}, 400, "n"), ({"n": 11}, 400, "n"),
     ({"prompt": ""}, 400, "prompt"), ({"model": "up/voice"}, 400, "model"), ({"model": "nonsense"}, 404, "model")],
    ids=["no prompt", "no model", "no images", "too many", "an empty prompt", "a speech model", "no such model"],
)  # fmt: skip
def test_a_bad_body_is_refused_by_name(server: Served, body: dict[str, Any], status: int, param: str) -> None:
    answer = generated(server, **body)
    assert (answer.status, answer.error["param"]) == (status, param), answer.error


@pytest.mark.parametrize(
    ("parts", "status", "param"),
    [
        ([("model", "up/brush"), ("prompt", "x")], 400, "image"),
        ([("model", "up/brush"), ("mask", "m.png", PNG, "image/png")], 400, "image"),
        ([("prompt", "x"), ("image", "a.png", PNG, "image/png")], 400, "model"),
        ([("model", "up/brush"), ("image", "a.mp3", PNG, "audio/mpeg")], 400, "image"),
        ([("model", "up/brush"), ("image", "a.png", b"", "image/png")], 400, "image"),
        ([("model", "up/brush"), ("other", "a.png", PNG, "image/png")], 400, "other"),
        ([("model", "up/brush"), ("n", "many"), ("image", "a.png", PNG, "image/png")], 400, "n"),
        ([("model", "up/brush"), ("image", "a.png", bytes(2_500_000), "image/png")], 413, "image"),
    ],
    ids=["no image", "a mask alone", "no model", "audio", "an empty image", "another file", "no number", "too large"],
)
def test_a_bad_edit_is_refused_by_name(server: Served, parts: Any, status: int, param: str) -> None:
    answer = post(server, EDITS, form(*parts))
    assert (answer.status, answer.error["param"]) == (status, param), answer.error


def test_a_failing_provider_is_reported(server: Served) -> None:
    with sdk(server) as client, pytest.raises(openai.APIStatusError) as caught:
        client.images.generate(model="up/broken", prompt="A cat")
    assert caught.value.status_code == 502
