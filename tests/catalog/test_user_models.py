"""A user's own GGUF file: added, asked for, added again, removed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from sizewise.catalog.loader import load_cards, local_card
from sizewise.catalog.user_models import add_model, remove_model
from sizewise.errors import BadRequest, Conflict, ModelNotFound, ModelUnavailable, SizewiseError
from sizewise.settings.load import Settings, load_settings
from tests.catalog.gguf_file import tiny


def settings(folder: Path) -> Settings:
    return load_settings(None, folder / "home", {"SIZEWISE_CACHE": str(folder / "cache")})


def added(file: Path, home: Path, called: str = "") -> str:
    return asyncio.run(add_model(file, home, called))


def test_an_added_file_is_a_local_model_with_the_facts_of_its_header(tmp_path: Path) -> None:
    file = tiny(tmp_path / "My Model.Q8_0.gguf")
    assert added(file, tmp_path / "home") == "local/my-model.q8_0"
    (card,) = load_cards(settings(tmp_path))
    assert (card.name, card.parameters, card.context, card.license) == ("local/my-model.q8_0", 32, 2048, "mit")
    assert card.weights is not None and card.weights.path == str(file)
    assert (card.place, card.tools) == ("process", None) and "GGUF header" in card.facts["context"]


def test_it_can_be_given_a_name_and_added_again_and_removed(tmp_path: Path) -> None:
    file, home = tiny(tmp_path / "a.gguf"), tmp_path / "home"
    assert added(file, home, "mine") == "local/mine"
    added(tiny(file, context=4096), home, "mine")
    assert local_card("mine", settings(tmp_path)).context == 4096
    added(file, home, "other")
    asyncio.run(remove_model("local/mine", home))
    assert [card.name for card in load_cards(settings(tmp_path))] == ["local/other"]
    assert file.is_file()


def test_a_file_of_an_older_version_keeps_its_facts_under_their_new_names(tmp_path: Path) -> None:
    file, home = tiny(tmp_path / "a.gguf"), tmp_path / "home"
    added(file, home, "mine")
    listed = home / "models.toml"
    listed.write_text(listed.read_text().replace("license =", "resumes = true\nlicence =", 1))
    assert "licence =" in listed.read_text()
    card = local_card("mine", settings(tmp_path))
    assert (card.license, card.prefill, "GGUF header" in card.facts["license"]) == ("mit", True, True)
    added(file, home, "other")
    assert "licence" not in listed.read_text() and "prefill = true" in listed.read_text()


def test_odd_paths_survive_being_written_down(tmp_path: Path) -> None:
    file = tiny(tmp_path / 'ein "Modell" \\ mit ü und \x7f 🐎.gguf')
    added(file, tmp_path / "home", "odd")
    weights = local_card("odd", settings(tmp_path)).weights
    assert weights is not None and weights.path == str(file)


@pytest.mark.parametrize(
    ("file", "name", "kind"),
    [
        ("no.gguf", "", ModelUnavailable),
        ("junk.gguf", "", ModelUnavailable),
        ("good.gguf", "a/b", BadRequest),
        ("good.gguf", "smollm2-135m", Conflict),
        ("good.gguf", "taken", Conflict),
        ("big-00001-of-00003.gguf", "", BadRequest),
    ],
)
def test_what_cannot_be_added_is_refused_with_a_hint_and_nothing_is_written(
    tmp_path: Path,
    file: str,
    name: str,
    kind: type[SizewiseError],
) -> None:
    home = tmp_path / "home"
    added(tiny(tmp_path / "first.gguf"), home, "taken")
    before = (home / "models.toml").read_text()
    (tmp_path / "junk.gguf").write_bytes(b"PK\3\4" * 99)
    tiny(tmp_path / "good.gguf")
    with pytest.raises(kind) as caught:
        added(tmp_path / file, home, name)
    assert caught.value.hint and (home / "models.toml").read_text() == before


def test_removing_what_was_never_added_names_the_nearest(tmp_path: Path) -> None:
    added(tiny(tmp_path / "a.gguf"), tmp_path / "home", "horse")
    with pytest.raises(ModelNotFound, match="'hose'") as caught:
        asyncio.run(remove_model("hose", tmp_path / "home"))
    assert caught.value.hint == "Did you mean 'horse'?"


@pytest.mark.long
def test_several_processes_adding_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tiny(tmp_path / "a.gguf")
    code = "import asyncio, sys; from pathlib import Path; from sizewise.catalog.user_models import add_model; "
    code += "asyncio.run(add_model(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))"
    arguments = [sys.executable, "-c", code, str(file), str(tmp_path / "home")]
    running = [subprocess.Popen([*arguments, f"m{number}"]) for number in range(4)]
    assert [each.wait(30) for each in running] == [0, 0, 0, 0]
    assert sorted(card.model for card in load_cards(settings(tmp_path))) == ["m0", "m1", "m2", "m3"]
