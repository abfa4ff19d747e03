"""People, places, organizations and addresses are found without an extra, in five languages and in hostile texts."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.util import find_spec
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizewise.guardrails.base import GuardConfig
from sizewise.guardrails.entity_features import FILE_HEADER, TOKEN
from sizewise.guardrails.entity_tagger import EntityTagger, load_tagger
from sizewise.guardrails.named_entities import PIECE_CHARS, named_entity_guard
from sizewise.testing.guardrail_conformance import check_findings, check_linear_time
from tests.fakes.fake_openai_echo import FakeOpenAIEcho
from tests.gateway.server_harness import beside
from tests.properties import examples, tried_with_all
from tests.running_server import Served, serving

pytestmark = tried_with_all
GUARD = named_entity_guard(GuardConfig())
there = pytest.mark.skipif(find_spec("spacy") is None, reason="needs the extra pii")


def found(text: str) -> dict[str, str]:
    return {text[each.start : each.end]: each.kind for each in GUARD(text)}


@pytest.mark.parametrize(
    ("text", "value", "kind"),
    [
        ("My name is Jane Miller and I moved here last year.", "Jane Miller", "PERSON"),
        ("Guten Tag, mein Name ist Sabine Hoffmann.", "Sabine Hoffmann", "PERSON"),
        ("Bonjour, je m'appelle Pierre Martin.", "Pierre Martin", "PERSON"),
        ("Hola, me llamo Carmen García.", "Carmen García", "PERSON"),
        ("Buongiorno, mi chiamo Giulia Rossi.", "Giulia Rossi", "PERSON"),
        ("She has lived in Berlin since 2012.", "Berlin", "PLACE"),
        ("He works at Siemens in a small office.", "Siemens", "ORGANIZATION"),
    ],
    ids=["en", "de", "fr", "es", "it", "place", "organization"],
)
def test_names_are_found_without_an_extra(text: str, value: str, kind: str) -> None:
    assert found(text).get(value) == kind, found(text)


@pytest.mark.parametrize(
    "text",
    [
        "Ship the parcel to 12 Baker Street, Boston, 02108, thank you.",
        "Bitte senden Sie das Paket an Hauptstraße 12, 10115 Berlin.",
        "Mon adresse est 8 rue de la République, 69002 Lyon.",
        "Mi dirección es Calle Mayor 15, 28013 Madrid.",
        "Il mio indirizzo è Via Roma 10, 00184 Roma.",
    ],
    ids=["en", "de", "fr", "es", "it"],
)
def test_an_address_is_found_whole(text: str) -> None:
    start = next(
        each.start() for each in TOKEN.finditer(text) if each.group() in ("12", "Hauptstraße", "8", "Calle", "Via")
    )
    stop = max(
        each.end() for each in TOKEN.finditer(text) if each.group() in ("02108", "Berlin", "Lyon", "Madrid", "Roma")
    )
    hidden = {place for each in GUARD(text) for place in range(each.start, each.end)}
    assert len(hidden & set(range(start, stop))) >= 0.8 * (stop - start), found(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "How do I sort a list of numbers?",
        "Let A be a matrix. Find the inverse of A.",
        "Die Rechnung ist bis Freitag zu bezahlen.",
        "Restart the Docker container on Monday.",
        "def area(radius):\n    return 3.14 * radius ** 2\n",
        "- - -\n\n* * *",
    ],
)
def test_capitals_that_name_nobody_are_left_alone(text: str) -> None:
    assert found(text) == {}


@given(st.text(max_size=400))
@examples(200)
def test_any_text_has_well_formed_findings(text: str) -> None:
    check_findings(GUARD, text)


@pytest.mark.long
@pytest.mark.parametrize("piece", ["Anna Miller of Berlin, ", "x", "12 High St\n", "\u00c5\u0301"])
def test_long_texts_take_time_in_proportion(piece: str) -> None:
    check_linear_time(GUARD, piece)


@pytest.mark.parametrize("text", ["Anna " * 3_000, "A" * 50_000, "1 " * 20_000, "\u00c5\u0301" * 5_000, "\ud800" * 100])
def test_hostile_texts_are_read_to_their_end(text: str) -> None:
    check_findings(GUARD, text)


def test_a_file_of_another_format_is_refused() -> None:
    data = files("sizewise.guardrails").joinpath("named_entities.bin").read_bytes()
    for broken in (data[:-1], b"none" + data[4:], data[: FILE_HEADER.size]):
        with pytest.raises(ValueError, match=r"named_entities\.bin"):
            EntityTagger(broken)


@pytest.mark.long
def test_labels_that_cannot_win_are_not_tried_and_the_best_sequence_is_the_same() -> None:
    fast, full = load_tagger(), load_tagger()
    full._sway = [10_000] * len(full._sway)
    text = (
        "Dear Ms. Brown, the order of Ahmed Khan goes to 4 Mill Lane, Leeds.\nIt weighs 4 kg. Call Siemens on Monday."
    )
    assert fast.entities(text) == full.entities(text) != []
    for words in (["Anna", "Berlin", "12", "Main", "Street"], ["A", "B.", "4\n5", "Via", "Roma", ",", "Inc"]):
        for order in permutations(words):
            assert fast.entities(" ".join(order)) == full.entities(" ".join(order))


CONFIG = """
[server]
embedded = false
discover = false
[guardrails.custom]
names = "mask"
[providers.far]
base_url = "{mirror}"
place = "anyone"
models = ["mirror"]
[policies.default]
kind = "fixed"
models = ["far/mirror"]
"""


@pytest.fixture(scope="module")
def mirror() -> Iterator[FakeOpenAIEcho]:
    with beside(FakeOpenAIEcho) as up:
        yield up


@pytest.fixture(scope="module")
def server(mirror: FakeOpenAIEcho, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("names"), CONFIG.format(mirror=mirror.url)) as served:
        yield served


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_remote_model_sees_placeholders_and_the_client_the_names(
    server: Served,
    mirror: FakeOpenAIEcho,
    stream: bool,
) -> None:
    said = "My name is Jane Miller and I live in Berlin."
    body = {"model": "auto", "messages": [{"role": "user", "content": said}], "stream": stream}
    answer = server.ask("/v1/chat/completions", body)
    assert answer.status == 200, answer.body
    sent: Any = mirror.received.bodies[-1]["messages"]
    assert sent[-1]["content"] == "My name is <PERSON_1> and I live in <PLACE_1>."
    if not stream:
        shown: Any = answer.json
        assert shown["choices"][0]["message"]["content"] == said


@there
def test_with_the_extra_a_long_text_is_read_in_pieces_and_half_a_character_is_no_trouble() -> None:
    text = "\ud800 word " * (PIECE_CHARS // 4) + "My name is Jane Doe."
    check_findings(GUARD, text)
    assert "Jane Doe" in [text[each.start : each.end] for each in GUARD(text)]
