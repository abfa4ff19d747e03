"""`sizewise dataset`: data sets as files, split by cluster, and sampled from stored requests by known probabilities."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sizewise.cli.erase_eval_copies import erase_eval_copies
from tests.cli.terminal import sizewise
from tests.running_server import ECHO, Served, serving

KEEPS = ECHO + '[records]\ncontents = true\n[models."echo/small"]\nprice = {input = "1", output = "2"}\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("datasets"), KEEPS) as served:
        for place in range(40):
            more: dict[str, Any] = {"sizewise": {"session": f"s-{place % 20}"}} if place % 2 else {}
            assert served.chat("echo/small", f"Question {place} of ada@example.com?", **more).status == 200
        for place in range(4):
            assert served.chat("echo/small", f"[[fail down]] Broken {place}").status >= 500
        yield served


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_items_are_sampled_from_records_with_their_probability(server: Served) -> None:
    words = (
        "dataset",
        "from-records",
        "traffic",
        "-n",
        "16",
        "--by",
        "result",
        "--oversample",
        "failed=2",
        "--seed",
        "1",
    )
    done = sizewise(*words, "--json", home=server.home)
    assert done.code == 0, done.err
    told = done.json
    strata = {each["stratum"]: each for each in told["strata"]}
    assert (told["requests"], told["items"], told["unusable"]) == (44, 16, {})
    assert (strata["failed"]["requests"], strata["failed"]["items"]) == (4, 4), "all of the few that failed"
    file = server.home / "evals" / "traffic.jsonl"
    found = lines(file)
    assert file.stat().st_mode & 0o077 == 0 and {each["stratum"] for each in found} == {"failed", "answered"}
    assert all(each["probability"] == (1.0 if each["stratum"] == "failed" else 12 / 40) for each in found)
    assert sum(1 / each["probability"] for each in found) == pytest.approx(44), "they stand for all requests"
    assert "ada@example.com" not in file.read_text() and "<EMAIL_1>" in file.read_text()
    assert any(each.get("cluster", "").startswith("s-") for each in found)
    shown = sizewise("dataset", "show", "traffic", "--json", home=server.home).json
    assert shown["effective_items"] < 16 and {each["stands_for"] for each in shown["strata"]} == {4, 40}


@pytest.mark.long
def test_the_same_seed_draws_the_same_requests_and_a_dry_run_writes_nothing(server: Served) -> None:
    (server.home / "evals").mkdir(exist_ok=True)
    drawn = []
    for name in ("one", "two"):
        words = ("dataset", "from-records", name, "--items", "10", "--seed", "7", "--with-answers", "--unmasked")
        assert sizewise(*words, home=server.home).code == 0
        drawn.append(lines(server.home / "evals" / f"{name}.jsonl"))
    assert [each["id"] for each in drawn[0]] == [each["id"] for each in drawn[1]]
    assert any(each.get("expected") for each in drawn[0]) and "ada@example.com" in json.dumps(drawn[0])
    dry = sizewise("dataset", "from-records", "three", "--items", "10", "--dry-run", home=server.home)
    assert dry.code == 0 and "(--dry-run)" in dry.out and not (server.home / "evals" / "three.jsonl").exists()


@pytest.mark.long
def test_requests_of_an_eval_are_no_traffic(server: Served) -> None:
    folder = server.home / "evals"
    folder.mkdir(exist_ok=True)
    (folder / "own.jsonl").write_text('{"input": "An eval asks this", "expected": "x"}\n')
    (folder / "own.yaml").write_text("target: echo/small\ndata: own.jsonl\nscorers: {right: contains}\n")
    assert sizewise("eval", "run", "own", home=server.home).code == 0
    told = sizewise("dataset", "from-records", "later", "--items", "40", "--dry-run", "--json", home=server.home).json
    assert told["requests"] == 44


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("traffic/x",), "is not a data set's name"),
        (("new", "--by", "weather"), "use some of"),
        (("new", "--oversample", "purple=2"), "no stratum has the word 'purple'"),
        (("new", "--oversample", "failed=-1"), "use WORD=FACTOR"),
        (("new", "--items", "2", "--by", "result"), "too few for 2 strata"),
        (("new", "--tag", "none-such"), "there is no chat request to sample"),
    ],
)
def test_a_mistake_names_the_next_step(server: Served, words: tuple[str, ...], said: str) -> None:
    done = sizewise("dataset", "from-records", *words, home=server.home)
    assert done.code == 2 and said in done.err, done.err


@pytest.mark.long
def test_without_stored_contents_it_says_which_setting_keeps_them(tmp_path: Path) -> None:
    with serving(tmp_path / "home", ECHO) as served:
        for _ in range(3):
            assert served.chat("echo/small").status == 200
        done = sizewise("dataset", "from-records", "traffic", home=served.home)
    assert done.code == 2 and "no contents are stored (3)" in done.err and "contents = true" in done.err


def items(count: int, **more: Any) -> str:
    rows = [{"id": f"i-{n}", "input": f"{n}?", "cluster": f"c-{n // 3}", **more} for n in range(count)]
    return "".join(json.dumps(each) + "\n" for each in rows)


def test_a_data_set_is_added_to_and_split_by_cluster(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "a.jsonl").write_text(items(60))
    (tmp_path / "b.jsonl").write_text(items(66))
    assert sizewise("dataset", "add", "all", str(tmp_path / "a.jsonl"), home=home).code == 0
    again = sizewise("dataset", "add", "all", str(tmp_path / "b.jsonl"), "--json", home=home).json
    assert (again["added"], again["known"], again["items"]) == (6, 60, 66)
    assert sizewise("dataset", "split", "all", home=home).code == 0
    parts = [lines(home / "evals" / f"all.{name}.jsonl") for name in ("dev", "test")]
    clusters = [{each["cluster"] for each in part} for part in parts]
    assert not clusters[0] & clusters[1] and sum(map(len, parts)) == 66 and len(parts[0]) < len(parts[1])
    listed = sizewise("dataset", "list", "--json", home=home).json["datasets"]
    assert [each["items"] for each in listed] == [66, len(parts[0]), len(parts[1])]


@pytest.mark.long
def test_a_csv_file_is_a_data_set_for_every_command(tmp_path: Path) -> None:
    folder = tmp_path / "evals"
    folder.mkdir()
    (folder / "geo.csv").write_text("id,input,expected,cluster\n1,Paris?,Paris,a\n2,Rome?,Rome,b\n3,Oslo?,Oslo,c\n")
    (folder / "geo.yaml").write_text("target: echo/small\ndata: geo.csv\nscorers: {right: {kind: contains}}\n")
    (found,) = sizewise("dataset", "list", "--json", home=tmp_path).json["datasets"]
    assert (found["name"], found["items"], found["evals"], found["error"]) == ("geo", 3, ["geo"], "")
    assert sizewise("dataset", "show", "geo", "--json", home=tmp_path).json["first"][0]["input"] == "Paris?"
    refused = sizewise("dataset", "add", "geo", str(folder / "geo.csv"), home=tmp_path)
    assert refused.code == 2 and "no file of JSON lines" in refused.err and "dataset add NEW geo.csv" in refused.hint
    assert sizewise("dataset", "add", "more", str(folder / "geo.csv"), home=tmp_path).code == 0
    assert [each["input"] for each in lines(folder / "more.jsonl")] == ["Paris?", "Rome?", "Oslo?"]
    more = sizewise("dataset", "show", "more", "--json", home=tmp_path).json
    assert more["sha256"] == sizewise("dataset", "show", "geo", "--json", home=tmp_path).json["sha256"]
    split = sizewise("dataset", "split", "geo", "--part", "a=0.5", "--part", "b=0.5", "--seed", "3", home=tmp_path)
    assert split.code == 0, split.err
    assert len(lines(folder / "geo.a.jsonl")) + len(lines(folder / "geo.b.jsonl")) == 3


def test_copies_of_a_persons_requests_are_erased_from_csv_too(tmp_path: Path) -> None:
    folder = tmp_path / "evals"
    folder.mkdir()
    kept = 'id,input,source\nb,"two\nlines",\n'
    (folder / "geo.csv").write_text(
        'id,input,source\na,"mine, of\ntwo lines","{""key"": ""k1""}"\nb,"two\nlines",\nc,mine,"{""key"": ""k1""}"\n'
    )
    assert erase_eval_copies(folder, {"key": ["k1"]}, dry_run=True).items == 2
    assert erase_eval_copies(folder, {"key": ["k1"]}, dry_run=False).items == 2
    assert (folder / "geo.csv").read_text() == kept
    assert erase_eval_copies(folder, {"key": ["k1"]}, dry_run=False).items == 0


def test_an_item_that_is_added_moves_no_other_one(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    places = []
    for count in (60, 300):
        (tmp_path / f"{count}.jsonl").write_text(items(count))
        assert sizewise("dataset", "add", f"d{count}", str(tmp_path / f"{count}.jsonl"), home=home).code == 0
        assert sizewise("dataset", "split", f"d{count}", home=home).code == 0
        places.append({each["id"] for each in lines(home / "evals" / f"d{count}.dev.jsonl")})
    assert places[0] <= places[1]


@pytest.mark.long
def test_another_item_of_the_same_id_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "a.jsonl").write_text(items(3))
    (tmp_path / "b.jsonl").write_text(items(3, expected="else"))
    assert sizewise("dataset", "add", "all", str(tmp_path / "a.jsonl"), home=home).code == 0
    before = (home / "evals" / "all.jsonl").read_bytes()
    done = sizewise("dataset", "add", "all", str(tmp_path / "b.jsonl"), home=home)
    assert done.code == 2 and "another item 'i-0'" in done.err
    assert (home / "evals" / "all.jsonl").read_bytes() == before


@pytest.mark.long
def test_an_eval_refuses_data_that_changed_since_it_was_pinned(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "a.jsonl").write_text(items(3))
    assert sizewise("dataset", "add", "all", str(tmp_path / "a.jsonl"), home=home).code == 0
    (listed,) = sizewise("dataset", "list", "--json", home=home).json["datasets"]
    eval_file = home / "evals" / "pinned.yaml"
    eval_file.write_text(f"target: a/b\ndata: all.jsonl@{listed['sha256'][:12]}\nscorers: {{right: contains}}\n")
    shown = sizewise("eval", "list", "--json", home=home).json["evals"]
    assert (shown[0]["items"], shown[0]["error"]) == (3, "")
    assert sizewise("dataset", "list", "--json", home=home).json["datasets"][0]["evals"] == ["pinned"]
    assert sizewise("release", "build", "--dry-run", home=home).code == 0, "a release knows a pin too"
    with (home / "evals" / "all.jsonl").open("a") as more:
        more.write('{"input": "one more"}\n')
    assert "has changed since" in sizewise("eval", "list", "--json", home=home).json["evals"][0]["error"]
    assert "has changed since" in sizewise("release", "build", "--dry-run", home=home).err


@pytest.mark.long
def test_more_requests_than_a_page_are_all_in_the_frame_and_a_limit_says_so(tmp_path: Path) -> None:
    with serving(tmp_path / "home", KEEPS) as served:
        for place in range(1_030):
            assert served.chat("echo/small", f"{place}", max_tokens=1).status == 200
        words = ("dataset", "from-records", "all", "--by", "result", "--items", "30", "--json")
        whole = sizewise(*words, home=served.home).json
        cut = sizewise(*words[:2], "new", *words[3:], "--limit", "1010", "--dry-run", home=served.home).json
    assert (whole["requests"], whole["is_cut"], whole["items"]) == (1_030, False, 30)
    assert (cut["requests"], cut["is_cut"]) == (1_010, True)
    found = lines(tmp_path / "home" / "evals" / "all.jsonl")
    assert len({each["id"] for each in found}) == 30 and {each["probability"] for each in found} == {30 / 1_030}
