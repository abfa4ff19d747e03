"""`sizewise flow` at the terminal: begin a flow, check it, run it, publish it; exit codes as promised."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema_rs
import pytest

from sizewise.flows.language.yaml_source import parse_yaml
from tests.cli.terminal import sizewise
from tests.running_server import ECHO, serving, until

TYPED = """
name: typed
inputs: {question: text, times: {type: integer, default: 1}, list: {type: {list: text}, default: []}}
nodes:
  a: {kind: ask, prompt: "{{ inputs.question }} {{ inputs.times }} {{ inputs.list | join('+') }}"}
outputs: {answer: "{{ a.text }}", times: "{{ inputs.times }}"}
"""


@pytest.mark.long
def test_a_flow_is_begun_and_checked_without_a_server(tmp_path: Path) -> None:
    begun = sizewise("flow", "new", "support", home=tmp_path)
    path = tmp_path / "flows" / "support.yaml"
    assert (begun.code, begun.out.splitlines()[0]) == (0, str(path))
    assert sizewise("flow", "check", home=tmp_path).out == "1 flow checked: no errors\n"
    again = sizewise("flow", "new", "support", home=tmp_path)
    assert (again.code, "already" in again.err) == (2, True)
    assert sizewise("flow", "new", "a b", home=tmp_path).code == 2

    path.write_text(path.read_text().replace("inputs.question", "inputs.qestion").replace("model: auto", "modl: auto"))
    wrong = sizewise("flow", "check", "support", home=tmp_path)
    assert wrong.code == 1
    assert wrong.out.splitlines() == [
        f"{path}:11:5: answer: 'ask' has no parameter 'modl'",
        "    Did you mean 'model'?",
        f"{path}:13:17: answer: `inputs` has no 'qestion'",
        "    Did you mean 'question'?",
    ]
    told = sizewise("flow", "check", str(path), "--json", home=tmp_path)
    assert (told.code, told.json["mistakes"]) == (1, 2)
    assert [each["line"] for each in told.json["flows"][0]["findings"]] == [11, 13]
    nobody = sizewise("flow", "check", "suport", home=tmp_path)
    assert (nobody.code, nobody.hint) == (2, "hint: Did you mean 'support'?")
    (tmp_path / "empty").mkdir()
    assert sizewise("flow", "check", home=tmp_path / "empty").hint == "hint: create one: sizewise flow new NAME"


@pytest.mark.long
def test_a_flow_over_documents_is_begun_and_a_name_that_cannot_be_is_refused(tmp_path: Path) -> None:
    begun = sizewise("flow", "new", "help", "--knowledge", "shop", home=tmp_path)
    assert (begun.code, begun.out.splitlines()[-1]) == (0, "  sizewise widget create help --target flow:help --page")
    text = (tmp_path / "flows" / "help.yaml").read_text()
    assert "knowledge: shop" in text and "kind: grounded" in text
    assert sizewise("flow", "check", home=tmp_path).out == "1 flow checked: no errors\n"
    refused = sizewise("flow", "new", "other", "--knowledge", "a shop", home=tmp_path)
    assert (refused.code, "'a shop' is not a name" in refused.err) == (2, True)
    assert not (tmp_path / "flows" / "other.yaml").exists()


NAMES = """
name: names
nodes:
  a: {kind: http, host: crm}
  b: {kind: ask, model: echo/smal, prompt: "{{ a.text }}"}
  c: {kind: search, knowledge: handbok, query: "{{ b.text }}"}
  d: {kind: tool, tool: run_pyton, arguments: {code: "1", found: "{{ c.passages }}"}}
  e: {kind: agent, agent: plannr, task: "{{ d.text }}"}
  f: {kind: ask, model: "auto:default", prompt: "{{ e.text }}"}
  g: {kind: approve, question: "{{ f.text }}", approvers: ["role:ownr", "role:admin", "role:clerk", "user:a@b.example"]}
outputs: {answer: "{{ f.text }}"}
triggers:
  - {kind: cron, schedule: "0 0 30 2 *"}
  - {kind: cron, schedule: "0 7 * * 1-5", zone: Europe/Berln}
  - {kind: cron, schedule: "0 7 * * 1-5", zone: Europe/Berlin}
"""


def test_a_file_and_its_flow_have_one_name(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    text = 'name: other\nnodes: {a: {kind: http, host: crm}}\noutputs: {answer: "{{ a.text }}"}\n'
    (tmp_path / "flows" / "one.yaml").write_text(text)
    found = sizewise("flow", "check", home=tmp_path)
    assert "the flow is named 'other', but its file 'one'" in found.out
    assert "warning" not in found.out  # there are no settings to look names up in


def test_a_node_that_needs_a_larger_model_than_there_is_says_which_to_pull(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (path := tmp_path / "flows" / "bot.yaml").write_text(
        "name: bot\ninputs: {question: text}\nnodes:\n"
        '  a: {kind: grounded, question: "{{ inputs.question }}", passages: [some text], fallback: echo/large}\n'
        'outputs: {answer: "{{ a.text }}"}\n'
    )
    sizes = {"small": 135_000_000, "large": 500_000_000}
    known = "".join(f'[models."echo/{name}"]\nparameters = {size}\n' for name, size in sizes.items())
    (tmp_path / "sizewise.toml").write_text(ECHO + known)
    found = sizewise("flow", "check", home=tmp_path)
    first, hint, second, _, last = found.out.splitlines()
    assert first == (
        f"{path}:4:6: warning: a: a grounded node needs a model of about 1B parameters, and the largest one here, "
        "echo/large, has 500M: most of its answers will be withheld"
    )
    assert hint == "    Pull a larger one: sizewise models pull qwen2.5-coder-1.5b"
    assert "echo/large" in second and last == "1 flow checked: no errors" and found.code == 0
    (tmp_path / "sizewise.toml").write_text(ECHO)  # of unknown size
    assert sizewise("flow", "check", home=tmp_path).out.splitlines() == ["1 flow checked: no errors"]


def test_names_that_the_settings_do_not_have_are_warnings_and_times_that_never_come_mistakes(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (path := tmp_path / "flows" / "names.yaml").write_text(NAMES)
    (tmp_path / "sizewise.toml").write_text(ECHO + "[knowledge.handbook]\n[agents.planner]\n[roles.clerk]\n")
    found = sizewise("flow", "check", home=tmp_path)
    assert found.code == 1
    assert found.out.splitlines() == [
        f"{path}:4:25: warning: a: there is no host 'crm' in the settings",
        "    Allow it: [hosts.crm] in sizewise.toml",
        f"{path}:5:25: warning: b: the settings: there is no model named 'echo/smal'",
        "    Did you mean 'echo/small'?",
        f"{path}:6:32: warning: c: there is no knowledge base 'handbok' in the settings",
        "    Did you mean 'handbook'?",
        f"{path}:7:25: warning: d: there is no tool 'run_pyton' in the settings",
        "    Did you mean 'run_python'?",
        f"{path}:8:27: warning: e: there is no agent 'plannr' in the settings",
        "    Did you mean 'planner'?",
        f"{path}:10:59: warning: g: there is no role 'ownr' in the settings",
        "    Did you mean 'owner'?",
        f"{path}:13:28: '0 0 30 2 *' never matches",
        "    For example: schedule: '0 7 * * 1-5', zone: Europe/Berlin",
        f"{path}:14:49: there is no time zone 'Europe/Berln'",
        "    For example: schedule: '0 7 * * 1-5', zone: Europe/Berlin",
        "",
        "HOST  METHODS  IN THE SETTINGS         CALLED BY",
        "-     GET      [hosts.crm] is missing  names",
        "",
        "These hosts are not allowed yet. To allow them, add to sizewise.toml of the server:",
        "",
        "[hosts.crm]",
        'url = "https://..."',
        'methods = ["GET"]',
        '# key = "env:CRM_KEY"  # if the API needs one',
    ]


@pytest.mark.long
def test_a_file_with_mistakes_does_not_run_what_was_live_in_silence(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "flows").mkdir(parents=True)
    (path := home / "flows" / "typed.yaml").write_text(TYPED)
    with serving(home, ECHO) as server:
        words = ("flow", "run", "typed", "-i", "question=hello")
        assert sizewise(*words, home=home).out == "hello 1\n"
        path.write_text(TYPED.replace("inputs.times", "inputs.tims"))
        seen = sizewise(*words, home=home)
        assert (seen.code, seen.out) == (1, "")
        assert f"{path}:5:" in seen.err and "Did you mean 'times'?" in seen.err and "--live" in seen.err
        assert sizewise(*words, "--json", home=home).json["mistakes"] == 2
        assert sizewise(*words, "--live", home=home).out == "hello 1\n"
        until(lambda: "the flow 'typed' has 2 errors" in str(server.ask("/readyz").json))
        until(lambda: any("sizewise flow check" in line for line in server.said))
        os.utime(path)  # it is read again, and what was said is not said again
        path.with_name("other.yaml").write_text(TYPED.replace("name: typed", "name: other"))
        until(lambda: server.chat("flow:other", "hi").status == 200)
        assert sum("'typed' has 2 errors" in line for line in server.said) == 1
        path.write_text(TYPED)
        until(lambda: "typed" not in str(server.ask("/readyz").json))


@pytest.mark.long
def test_a_flow_runs_at_the_server_and_what_is_live_is_listed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "flows").mkdir(parents=True)
    (home / "flows" / "typed.yaml").write_text(TYPED)
    with serving(home, ECHO) as server:
        words = ("flow", "run", "typed", "-i", "question=hello", "-i", "times=3", "-i", 'list=["a", "b"]')
        seen = sizewise(*words, home=home)
        assert (seen.code, seen.out) == (0, "hello 3 a+b\n")
        assert "flow:typed@" in seen.err
        told = sizewise(*words, "--json", home=home).json
        assert told["outputs"] == {"answer": "hello 3 a+b", "times": 3}
        piped = sizewise("flow", "run", "typed", "-i", "question=-", home=home, stdin="from a pipe")
        assert piped.out == "from a pipe 1\n"

        missing = sizewise("flow", "run", "typed", home=home)
        assert missing.code == 0  # an empty question is one
        wrong = sizewise("flow", "run", "typed", "-i", "question=x", "-i", "times=many", home=home)
        assert (wrong.code, "times is a text, not an integer" in wrong.err) == (2, True)
        strange = sizewise("flow", "run", "typed", "-i", "qestion=x", home=home)
        assert (strange.code, "Did you mean 'question'?" in strange.err) == (2, True)
        confined = sizewise("keys", "create", "chats", "--endpoint", "chat", home=home).out.strip()
        alone = sizewise(*words, "--url", server.url, home=tmp_path, SIZEWISE_KEY=confined)
        assert alone.out == "hello 3 a+b\n"  # it may not see what the flow takes, and may ask it
        unknown = sizewise("flow", "run", "tiped", home=home)
        assert unknown.code == 2
        assert sizewise("flow", "run", "typed", "-i", "question", home=home).code == 2

        rows = sizewise("flow", "--json", home=home).json["flows"]
        assert [(row["name"], row["state"]) for row in rows] == [("typed", "live")]

        extra = tmp_path / "extra.yaml"
        extra.write_text(TYPED.replace("name: typed", "name: extra"))
        published = sizewise("flow", "publish", str(extra), home=home)
        assert (published.code, published.out.startswith("flow:extra@")) == (0, True)
        assert sizewise("flow", "show", "extra", home=home).out == extra.read_text()
        assert sizewise("flow", "run", "extra", "-i", "question=hi", home=home).out == "hi 1\n"
        extra.write_text(extra.read_text().replace("inputs.times", "inputs.tims"))
        refused = sizewise("flow", "publish", str(extra), home=home)
        assert (refused.code, "has no 'tims'" in refused.err) == (2, True)
        assert sizewise("flow", "withdraw", "extra", home=home).code == 0
        until(lambda: server.chat("flow:extra", "hi").status == 404)


def test_the_schema_of_flows_takes_what_check_takes(tmp_path: Path) -> None:
    schema = json.loads(sizewise("flow", "schema", home=tmp_path).out)
    validator = jsonschema_rs.validator_for(schema)
    assert validator.is_valid(parse_yaml(TYPED).data)
    assert not validator.is_valid(parse_yaml(TYPED.replace("prompt", "promt")).data)
    assert not validator.is_valid(parse_yaml(TYPED.replace("kind: ask", "kind: asc")).data)
