"""`sizewise models probe` at the terminal: a table and lines to paste, JSON for scripts, and exit codes that tell."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from tests.catalog.fake_package_index import serving
from tests.cli.terminal import sizewise
from tests.running_server import Served


def test_a_person_gets_a_table_and_the_lines_to_paste(echo: Served, tmp_path: Path) -> None:
    done = sizewise("models", "probe", echo.url, "--key", "env:THEIRS", home=tmp_path, THEIRS=echo.key)
    assert (done.code, done.out.split()[:2]) == (0, ["MODEL", "CONTEXT"])
    table, _, lines = done.out.partition("\n\n")
    assert "echo/small" in table and "another Sizewise" in done.err
    pasted = tomllib.loads(lines)["providers"]["sizewise"]
    assert pasted["base_url"] == f"{echo.url}/v1" and pasted["key"] == "env:THEIRS" and "echo/small" in pasted["models"]
    assert echo.key not in done.out + done.err


def test_a_script_gets_json_and_nothing_else(echo: Served, tmp_path: Path) -> None:
    done = sizewise("models", "probe", echo.url, "--key", "env:THEIRS", "--json", home=tmp_path, THEIRS=echo.key)
    assert (done.code, done.err) == (0, "")
    assert done.json["kind"] == "sizewise" and {"name": "echo/small", "context": None} in done.json["models"]
    assert tomllib.loads(done.json["toml"])


def test_a_missing_key_ends_with_2_and_a_missing_server_with_3(echo: Served, tmp_path: Path) -> None:
    locked = sizewise("models", "probe", echo.url, home=tmp_path)
    assert locked.code == 2 and "--key" in locked.hint
    nobody = sizewise("models", "probe", "http://127.0.0.1:9", home=tmp_path)
    assert nobody.code == 3 and "Usual ports" in nobody.hint


def test_a_name_cannot_paint_the_terminal(tmp_path: Path) -> None:
    with serving() as package_index:
        package_index.files["/v1/models"] = json.dumps({"data": [{"id": "a\x1b[31mb"}]}).encode()
        done = sizewise("models", "probe", package_index.url, home=tmp_path)
    assert done.code == 0 and "\x1b" not in done.out + done.err and "a�[31mb" in done.out
