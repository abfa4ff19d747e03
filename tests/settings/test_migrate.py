"""Old settings files, by the new names: nothing else in them changes, and each old name that there was is known."""

from __future__ import annotations

import tomllib
from copy import deepcopy
from pathlib import Path

import pytest

from sizewise.errors import BadRequest
from sizewise.settings.migrate import describe, migrate
from sizewise.settings.renamed import RENAMED, move
from tests.cli.terminal import sizewise

OLD = """\
# my server, since 2025
[store]                     # shared
url = "env:DB"
[guards]
tools = ["a*"]  # allowed
[guards.about.weapons]
deny = ["gun"]
[policies.mine]
kind = "promised"
promise = {quality = 0.95, of = "large", sure = 0.9}
guards = {pii = "block"}
reach = {public = "machine"}
[[policies.mine.tests]]
prompt = "first = 1"
first = "echo/a"
[limits."project:shop"]
usd_day = "5"
[roles.r]
may = ["read", "manage_vault"]
[graphql]
queries = 'listed'
[sessions]
"idle_s" = 60
"""


def test_old_names_become_new_ones_and_every_other_byte_stays() -> None:
    new, changes = migrate(OLD)
    expected = tomllib.loads(OLD)
    move(expected, [])
    assert tomllib.loads(new) == expected and len(changes) > 12
    assert "[database]                     # shared" in new and "# my server, since 2025" in new
    assert 'prompt = "first = 1"' in new and 'first_model = "echo/a"' in new
    assert 'target = {quality = 0.95, reference = "large", confidence = 0.9}' in new
    assert [line for line in new.splitlines() if line.startswith("deny")] == ['deny = ["gun"]']
    assert migrate(new) == (new, [])
    assert any(each.endswith(" -> usd_per_day") for each in describe(changes))


@pytest.mark.parametrize("old", RENAMED)
def test_each_renamed_setting_is_changed_where_it_stands(old: str) -> None:
    place, _, value = old.partition("=")
    *tables, key = place.replace("[]", "").replace("NAME", "x").split(".")
    if not value and "." not in old and RENAMED[old].count(".") == 0:
        text = f"[{old}]\n"
    else:
        said = f'"{value}"' if value else "1"
        text = f"[{'.'.join(tables)}]\n{key} = {said}\n".replace("[policies.x.tests]", "[[policies.x.tests]]")
    expected, changes = tomllib.loads(text), list[str]()
    move(expected, changes)
    assert changes, text
    new, _ = migrate(text)
    assert tomllib.loads(new) == expected


def test_a_name_where_a_program_cannot_change_it_is_left_to_a_person() -> None:
    text = '[limits]\n"project:a" = {\n  usd_day = "5"\n}\n'
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        text = 'limits = {"project:a" = {"usd\\u005fday" = "5"}}\n'
    before = deepcopy(text)
    with pytest.raises(BadRequest) as refused:
        migrate(text)
    assert "by hand" in refused.value.hint and text == before


def test_both_names_of_a_setting_are_left_to_a_person() -> None:
    with pytest.raises(BadRequest) as refused:
        migrate('[server]\nhosts = ["a"]\nallowed_hosts = ["b"]\n')
    assert refused.value.message == "this file cannot be changed by a program: 1 setting was renamed"
    assert "'allowed_hosts', which is there too: remove 'hosts'" in refused.value.hint


def test_the_command_shows_the_change_and_makes_it_when_told(tmp_path: Path) -> None:
    file = tmp_path / "sizewise.toml"
    file.write_text('[server]\nhosts = ["a.example"]\n')
    assert f"sizewise settings migrate {file} --write" in sizewise("doctor", home=tmp_path).out
    shows = sizewise("settings", "migrate", home=tmp_path)
    assert shows.code == 0 and '+allowed_hosts = ["a.example"]' in shows.out and "hosts = [" in file.read_text()
    told = sizewise("settings", "migrate", "--write", "--json", home=tmp_path)
    assert told.json["written"] and told.json["changes"] == ["server.hosts -> allowed_hosts"]
    assert file.read_text() == '[server]\nallowed_hosts = ["a.example"]\n'
    assert "no renamed settings" in sizewise("settings", "migrate", home=tmp_path).out
    file.write_text("[server]\nhosts = 1\n")
    assert sizewise("settings", "migrate", "--write", home=tmp_path).code != 0 and "hosts = 1" in file.read_text()
