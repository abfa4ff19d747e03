"""Where wheels lie: read from the index that pip is configured for, in both forms, and left to pip where it is odd."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from sizewise.catalog.package_index import find_wheels
from sizewise.catalog.simple_index import JSON, find_wheel, matches_requirement
from sizewise.settings.load import load_settings
from tests.catalog.fake_package_index import FIRST, SECOND, FakePackageIndex, serving

WANTED = ("tiny-part1==1.0", "tiny-part2==1.0")
PAGES = ["/simple/tiny-part1/", "/simple/tiny-part2/"]


def found(folder: Path, *wanted: str) -> list[str]:
    """The URLs of the wheels; their sha256 is right wherever an index told it."""
    told = asyncio.run(find_wheels(wanted or WANTED, load_settings(None, folder / "home", {})))
    return [each.url for each in told]


def lie(package_index: FakePackageIndex) -> list[str]:
    return [f"{package_index.url}/files/{FIRST}", f"{package_index.url}/files/{SECOND}"]


def asked(package_index: FakePackageIndex) -> list[str]:
    return [path for path, _ in package_index.asked]


@pytest.mark.parametrize("json", [True, False])
async def test_an_index_is_asked_one_page_a_wheel_and_tells_its_sha256(
    package_index: FakePackageIndex,
    tmp_path: Path,
    json: bool,
) -> None:
    package_index.json = json
    told = await find_wheels(WANTED, load_settings(None, tmp_path / "home", {}))
    assert [each.url for each in told] == lie(package_index)
    assert told[0].sha256 == hashlib.sha256(package_index.files[f"/files/{FIRST}"]).hexdigest()
    assert asked(package_index) == PAGES


def test_an_index_that_sends_on_is_followed_and_links_are_meant_from_there(
    package_index: FakePackageIndex,
    tmp_path: Path,
) -> None:
    with serving() as other:
        other.hold_model()
        package_index.redirects[PAGES[0]] = f"{other.url}{PAGES[0]}"
        assert found(tmp_path) == [lie(other)[0], lie(package_index)[1]]


def test_the_index_of_a_settings_file_is_asked(
    package_index: FakePackageIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "pip.conf"
    file.write_text(
        f"[global]\nindex-url = {package_index.url}/empty\n[install]\nindex-url = {package_index.url}/simple\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.delenv("PIP_INDEX_URL")
    assert found(tmp_path) == lie(package_index) and asked(package_index) == PAGES


def test_an_extra_index_is_asked_for_what_the_first_lacks(
    package_index: FakePackageIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"{package_index.url}/empty/")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"{package_index.url}/none/ {package_index.url}/simple/")
    assert found(tmp_path) == lie(package_index)
    assert (
        asked(package_index)[:3] == ["/empty/tiny-part1/", "/none/tiny-part1/", PAGES[0]]
        and len(asked(package_index)) == 6
    )


def test_where_nothing_is_configured_pips_own_index_is_asked(
    package_index: FakePackageIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PIP_INDEX_URL")
    models = tmp_path / "pip/_internal/models"
    models.mkdir(parents=True)
    (models / "index.py").write_text(f"class PyPI:\n    simple_url = '{package_index.url}/simple'\n")
    for each in (tmp_path / "pip", tmp_path / "pip/_internal", models):
        (each / "__init__.py").touch()
    (tmp_path / "pip/__main__.py").touch()  # lists no settings
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert found(tmp_path) == lie(package_index) and asked(package_index) == PAGES


def test_a_wheel_in_a_folder_of_the_users_goes_before_every_index(
    package_index: FakePackageIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / FIRST).write_bytes(package_index.files[f"/files/{FIRST}"])
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert found(tmp_path) == [(tmp_path / FIRST).as_uri(), lie(package_index)[1]]
    assert asked(package_index) == PAGES[1:]


def test_an_index_that_is_a_folder_is_left_to_pip(
    package_index: FakePackageIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = tmp_path / "index/tiny-part1/index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<!DOCTYPE html><a href="{FIRST}">{FIRST}</a>')
    (page.parent / FIRST).write_bytes(package_index.files[f"/files/{FIRST}"])
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "index").as_uri())
    assert found(tmp_path, WANTED[0]) == [(page.parent / FIRST).as_uri()] and package_index.asked == []


@pytest.mark.long
def test_an_index_with_a_password_is_left_to_pip(
    package_index: FakePackageIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"{package_index.url.replace('://', '://me:secret@')}/simple/")
    assert all(path.endswith(name) for path, name in zip(found(tmp_path), (FIRST, SECOND), strict=True))
    assert set(asked(package_index)) > set(PAGES), "it was pip who asked: it looks into the wheels too"


@pytest.mark.long
def test_a_version_that_is_spelt_otherwise_is_left_to_pip_with_all_after_it(
    package_index: FakePackageIndex,
    tmp_path: Path,
) -> None:
    assert found(tmp_path, "tiny-part1==1.0", "tiny-part2==1.0.0") == lie(package_index)


@pytest.mark.long
@pytest.mark.parametrize("nonsense", [b"<!", b"[]", b'{"files": 3}', bytes(17 << 20)])
@pytest.mark.parametrize("json", [True, False])
def test_after_a_page_that_makes_no_sense_the_next_index_is_asked(
    package_index: FakePackageIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    nonsense: bytes,
    json: bool,
) -> None:
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"{package_index.url}/simple/")
    monkeypatch.setenv("PIP_INDEX_URL", f"{package_index.url}/odd/")
    package_index.json = json
    package_index.files["/odd/tiny-part1/"] = package_index.lists["/odd/tiny-part1/"] = nonsense
    assert found(tmp_path, WANTED[0]) == lie(package_index)[:1]
    assert asked(package_index) == ["/odd/tiny-part1/", PAGES[0]]


@pytest.mark.parametrize(
    ("filename", "wanted"),
    [
        ("a_b-1.0-py3-none-any.whl", True),
        ("A.b-1.0-py2.py3-none-any.whl", True),
        ("a_b-1.0-1-py3-none-any.whl", True),
        ("a_b-1.0.1-py3-none-any.whl", False),
        ("a_c-1.0-py3-none-any.whl", False),
        ("a_b-1.0-cp312-cp312-linux_x86_64.whl", False),
        ("a_b-1.0.tar.gz", False),
        ("a_b-1.0-py3-none-any.whl.metadata", False),
        ("", False),
    ],
)
def test_only_the_pure_wheel_of_the_very_version_fits(filename: str, wanted: bool) -> None:
    assert matches_requirement(filename, "a-b==1.0") is wanted


def test_a_page_cannot_point_into_this_machine() -> None:
    page = b'{"files": [{"filename": "a-1-py3-none-any.whl", "url": "file:///a-1-py3-none-any.whl"}]}'
    assert find_wheel(page, JSON, "https://index.example/a/", "a==1") is None


def test_links_are_meant_from_the_base_that_a_page_names() -> None:
    page = b'<base href="/other/"><a>x</a><A HREF="a-1-py3-none-any.whl#md5=0&x">a</A>'
    told = find_wheel(page, "text/html", "https://index.example/simple/a/", "a==1")
    assert told is not None and (told.url, told.sha256) == ("https://index.example/other/a-1-py3-none-any.whl", "")
