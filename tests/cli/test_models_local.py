"""The verbs that change the catalogue of this machine: models add, remove, pull; with and without a running server."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sizewise.catalog.loader import bundled_models, weights_path
from tests.catalog.gguf_file import tiny
from tests.cli.terminal import sizewise
from tests.running_server import ECHO, serving

QUIET = ECHO.replace("embedded = false", "embedded = true")


def user_of(folder: Path) -> dict[str, str]:
    """The environment of someone with folders of their own, who names no home."""
    folders = {"SIZEWISE_CACHE": "cache", "XDG_STATE_HOME": "state", "XDG_DATA_HOME": "data"}
    return {variable: str(folder / name) for variable, name in folders.items()}


def names(home: Path) -> list[str]:
    return [each["name"] for each in sizewise("models", "--json", home=home).json["models"]]


def test_a_file_of_ones_own_is_added_where_it_lies_and_forgotten_again(tmp_path: Path) -> None:
    file = tiny(tmp_path / "Mine.Q4.gguf")
    added = sizewise("models", "add", str(file), home=tmp_path)
    assert (added.code, added.out) == (0, "local/mine.q4 added\n")
    assert "local/mine.q4" in names(tmp_path)
    assert str(file) in sizewise("models", "show", "mine.q4", home=tmp_path).out
    assert sizewise("models", "remove", "mine.q4", home=tmp_path).code == 0
    assert "local/mine.q4" not in names(tmp_path)
    assert file.is_file()


@pytest.mark.long
def test_a_running_server_knows_at_once(tmp_path: Path) -> None:
    file = tiny(tmp_path / "mine.gguf")
    with serving(tmp_path / "home", QUIET) as server:
        told = sizewise("models", "add", str(file), "--name", "own", "--json", home=server.home).json
        assert told == {"name": "local/own", "done": "added", "noticed": True}
        assert server.ask("/v1/models/local/own").status == 200
        sizewise("models", "remove", "own", home=server.home)
        assert server.ask("/v1/models/local/own").status == 404


@pytest.mark.long
def test_what_cannot_be_added_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("no model")
    assert sizewise("models", "add", "text.gguf", home=tmp_path).code == 3
    assert sizewise("models", "add", str(tiny(tmp_path / "a.gguf")), "--name", "a b", home=tmp_path).code == 2
    assert sizewise("models", "remove", "nobody", home=tmp_path).code == 2


def test_a_model_is_pulled_from_a_place_one_names(tmp_path: Path, smollm_gguf: Path) -> None:
    cache = str(tmp_path / "cache")
    done = sizewise("models", "pull", "smollm2-135m", "--from", str(smollm_gguf), home=tmp_path, SIZEWISE_CACHE=cache)
    assert done.code == 0
    assert "local/smollm2-135m is ready" in done.out
    again = sizewise("models", "pull", "smollm2-135m", "--json", home=tmp_path, SIZEWISE_CACHE=cache).json
    assert again["fetched"] is False
    assert os.path.getsize(again["path"]) == bundled_models()["smollm2-135m"].weights.bytes
    shutil.rmtree(cache)


def test_a_pull_tells_the_running_server_also_of_a_file_that_was_there(tmp_path: Path, smollm_gguf: Path) -> None:
    here = user_of(tmp_path)
    with serving(tmp_path / "home", QUIET, **here) as server:
        place = weights_path(bundled_models()["smollm2-135m"].weights, tmp_path / "cache")
        place.parent.mkdir(parents=True)
        place.symlink_to(smollm_gguf)
        assert server.ask("/v1/models/local/smollm2-135m").status == 404
        done = sizewise("models", "pull", "smollm2-135m", home=None, **here)
        assert done.code == 0, done.err
        assert "was already downloaded" in done.out and f"the running server at {server.url} serves it" in done.out
        assert server.ask("/v1/models/local/smollm2-135m").status == 200
        told = sizewise("models", "pull", "smollm2-135m", "--json", home=server.home, **here).json
        assert (told["noticed"], told["served"]) == (True, True)
        assert told["servers"] == [{"url": server.url, "served": True}]

        other = {**here, "SIZEWISE_CACHE": str(tmp_path / "other")}
        said = sizewise("models", "pull", "smollm2-135m", "--from", str(smollm_gguf), home=None, **other)
        assert f"the running server at {server.url} serves it" in said.out, "it has a file of its own"

        (server.home / "sizewise.toml").write_text("[server]\nembeded = true\n")
        failed = sizewise("models", "pull", "smollm2-135m", "--config", os.devnull, home=None, **here)
        assert failed.code == 2 and "embeded" in failed.err and "was already downloaded" in failed.out
    gone = sizewise("models", "pull", "smollm2-135m", home=None, **here)
    assert "no server is running; the next start serves it: sizewise up" in gone.err
    told = sizewise("models", "pull", "smollm2-135m", "--json", home=None, **here).json
    assert (told["noticed"], told["served"], told["servers"]) == (False, False, [])


def test_a_pull_says_that_the_running_server_does_not_serve_the_model(tmp_path: Path, smollm_gguf: Path) -> None:
    here = user_of(tmp_path)
    with serving(tmp_path / "home", ECHO, **here) as server:
        done = sizewise("models", "pull", "smollm2-135m", "--from", str(smollm_gguf), home=None, **here)
        assert done.code == 0 and f"the running server at {server.url} has reloaded, and does not serve it" in done.err
        assert "embedded" in done.err
    shutil.rmtree(tmp_path / "cache")


def test_a_wrong_file_is_not_taken(tmp_path: Path) -> None:
    wrong = tiny(tmp_path / "wrong.gguf")
    cache = str(tmp_path / "cache")
    done = sizewise("models", "pull", "smollm2-135m", "--from", str(wrong), home=tmp_path, SIZEWISE_CACHE=cache)
    assert done.code == 3
    assert "sha256" in done.err


def test_an_unknown_model_is_told_with_the_nearest(tmp_path: Path) -> None:
    done = sizewise("models", "pull", "smollm2-135", home=tmp_path)
    assert done.code == 2
    assert "smollm2-135m" in done.err


@pytest.mark.long
def test_a_model_whose_file_is_back_answers_again(tmp_path: Path, smollm_gguf: Path) -> None:
    file = tmp_path / "own.gguf"
    os.link(smollm_gguf, file) if smollm_gguf.stat().st_dev == tmp_path.stat().st_dev else shutil.copy(
        smollm_gguf, file
    )
    (tmp_path / "home").mkdir()
    assert sizewise("models", "add", str(file), home=tmp_path / "home").code == 0
    away = file.rename(tmp_path / "away.gguf")
    body = {"model": "local/own", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
    with serving(tmp_path / "home", QUIET) as server:
        assert server.ask("/v1/chat/completions", body).status == 503
        assert server.ask("/v1/chat/completions", body).status == 503, "nothing is tried again while nothing changed"
        away.rename(file)
        assert server.ask("/v1/chat/completions", body).status == 200
