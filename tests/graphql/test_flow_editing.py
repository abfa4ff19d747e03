"""What an editor of flows needs of /graphql: graph, drafts, publishing by compare-and-swap, files, trials with pins."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.auth.user_client import Browser, new_user
from tests.graphql.graphql_client import GraphQLAnswer, fresh_key, graphql
from tests.graphql.subscription_client import events, opened, streamed
from tests.running_server import ECHO, Served, serving, until

NUMBER = itertools.count()
FLOW = """\
name: {name}
inputs: {{question: text}}
nodes:
  first:
    kind: ask
    model: echo/small
    prompt: "{{{{ inputs.question }}}}"
  second: {{kind: template, text: "<{{{{ first.text }}}}>"}}
  third: {{kind: ask, model: echo/small, prompt: "again: {{{{ second.text }}}}"}}
outputs: {{answer: "{{{{ third.text }}}}"}}
"""
CHECK = """query($t: String!) { checkFlow(text: $t) {
  valid findings { node line severity message fixes { title start end text } } graph {
  nodes { id path kind parent line endLine outputs cases sideEffect streams }
  edges { from to case kind path reference line column endColumn } } } }"""
PUBLISH = """mutation($t: String!, $v: String) {
  publishFlow(text: $t, expectedVersion: $v, note: "why") { flow { version file } } }"""
SAVE = """mutation($n: String!, $t: String!, $s: Timestamp, $l: JSON) {
  saveFlowDraft(name: $n, text: $t, baseVersion: "abc", expectedSaved: $s, layout: $l) {
    name saved mine text layout baseVersion } }"""
TEST = """subscription($t: String!, $i: JSON, $p: JSON, $n: [String!], $r: String, $e: Boolean) {
  testFlow(text: $t, inputs: $i, pins: $p, nodes: $n, fromRun: $r, allowSideEffects: $e) {
    key kind state text model error message output costUsd } }"""
START = "mutation($f: String!, $i: JSON) { startFlowRun(flow: $f, inputs: $i) { id } }"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("editing")
    (home / "flows").mkdir()
    (home / "flows" / "kept.yaml").write_text(FLOW.format(name="kept"))
    near = '[providers.near]\nwire = "echo"\nplace = "process"\nmodels = ["vectors"]\n'
    with serving(home, ECHO + near + '[models."near/vectors"]\ntask = "embed"\n') as served:
        until(lambda: version(served, "kept"))
        yield served


def fresh() -> str:
    return FLOW.format(name=f"flow{next(NUMBER)}")


def version(server: Served, name: str) -> str:
    found = graphql(server, "query($n: String!) { flow(name: $n) { version } }", n=name).data["flow"]
    return found["version"] if found else ""


def publish(server: Served, text: str, expected: str | None = None) -> GraphQLAnswer:
    return graphql(server, PUBLISH, t=text, v=expected)


def trial(server: Served, text: str, **variables: Any) -> list[dict[str, Any]]:
    known: dict[str, Any] = {"i": {"question": "hello"}, "p": None, "n": [], "r": "", "e": False}
    return [each["testFlow"] for each in streamed(server, TEST, t=text, **{**known, **variables})]


def refusal(server: Served, text: str, **variables: Any) -> dict[str, Any]:
    """The error before anything runs."""
    known: dict[str, Any] = {"t": text, "i": {"question": "hello"}, "p": None, "n": [], "r": "", "e": False}
    with opened(server, TEST, **{**known, **variables}) as response:
        if response.status != 200:
            return dict(json.loads(response.read())["errors"][0])
        shown = [data for _, data in events(response) if data]
    return dict(shown[0]["errors"][0])


def states(shown: list[dict[str, Any]]) -> dict[str, str]:
    return {each["key"]: each["state"] for each in shown if each["state"] not in ("running", "text")}


def test_the_graph_comes_with_the_findings(server: Served) -> None:
    text = fresh()
    shown = graphql(server, CHECK, t=text).data["checkFlow"]
    assert shown["valid"] and [each["id"] for each in shown["graph"]["nodes"]] == ["first", "second", "third"]
    assert [(each["from"], each["to"], each["kind"]) for each in shown["graph"]["edges"]] == [
        ("inputs", "first", "required"),
        ("first", "second", "required"),
        ("second", "third", "required"),
        ("third", "", "required"),
    ]
    wrong = text.replace("second.text", "secnd.text")
    found = graphql(server, CHECK, t=wrong).data["checkFlow"]
    fix = next(fix for each in found["findings"] for fix in each["fixes"])
    assert not found["valid"] and wrong[: fix["start"]] + fix["text"] + wrong[fix["end"] :] == text
    assert graphql(server, CHECK, t="nodes: [").data["checkFlow"]["graph"] is None


def fixed(server: Served, text: str) -> list[str]:
    """The text after each of the fixes that are offered."""
    found = graphql(server, CHECK, t=text).data["checkFlow"]["findings"]
    return [text[: each["start"]] + each["text"] + text[each["end"] :] for one in found for each in one["fixes"]]


def test_a_model_that_is_not_configured_is_a_warning_with_the_configured_ones_to_choose(server: Served) -> None:
    text = fresh()
    for wrong in ("echo/smal", "nowhere/gpt-9", "near/vectors"):
        planted = text.replace("model: echo/small", f"model: {wrong}", 1)
        shown = graphql(server, CHECK, t=planted).data["checkFlow"]
        (finding,) = shown["findings"]
        assert shown["valid"] and wrong in finding["message"] and finding["severity"] == "warning"
        assert (finding["node"], finding["line"]) == ("first", 6)
        mended = fixed(server, planted)
        assert text in mended and len(mended) >= 3
        for each in mended:
            assert graphql(server, CHECK, t=each).data["checkFlow"]["findings"] == [], each
    for name in ("auto", "small", "auto:default", "echo/small", "{{ inputs.question }}"):
        planted = text.replace("model: echo/small", f"model: '{name}'", 1)
        assert all("model named" not in each["message"] for each in checked(server, planted)["findings"])


def test_no_fix_makes_a_circle_or_a_key_twice(server: Served) -> None:
    text = fresh()
    inner = """\
name: inner
nodes:
  many:
    kind: each
    items: [1]
    nodes:
      one: {{kind: template, text: "{0}"}}
    outputs: "{{{{ one.text }}}}"
  manx: {{kind: template, text: "{{{{ many.items }}}}"}}
outputs: {{answer: "{{{{ manx.text }}}}"}}
"""
    for planted in (
        text.replace("inputs.question", "thirt.text"),  # `third` comes after it
        text.replace("kind: ask\n", "kind: ask\n    after: thirt\n", 1),
        text.replace("    prompt:", "    promt: x\n    prompt:"),
        text.replace("outputs:", "inptus: {}\noutputs:"),
        inner.format("{{ manz.text }}"),
    ):
        assert planted != text
        assert mistakes(server, planted) > 0
        for mended in fixed(server, planted):
            assert mistakes(server, mended) < mistakes(server, planted), mended


def checked(server: Served, text: str) -> dict[str, Any]:
    return dict(graphql(server, CHECK, t=text).data["checkFlow"])


def mistakes(server: Served, text: str) -> int:
    return sum(each["severity"] == "error" for each in checked(server, text)["findings"])


def test_300_nodes_are_within_the_cost_of_one_question(server: Served) -> None:
    nodes = "".join(f'  n{n}: {{kind: template, text: "{{{{ n{n - 1}.text }}}}"}}\n' for n in range(1, 300))
    text = f'name: long\nnodes:\n  n0: {{kind: template, text: x}}\n{nodes}outputs: {{t: "{{{{ n299.text }}}}"}}\n'
    answer = graphql(server, CHECK, t=text)
    assert answer.errors == [] and len(answer.data["checkFlow"]["graph"]["edges"]) == 300


def test_publishing_over_a_version_that_is_not_live_changes_nothing(server: Served) -> None:
    text = fresh()
    name = text.split()[1]
    assert publish(server, text, "f" * 64).code == "conflict" and version(server, name) == ""
    assert publish(server, text, "").errors == []
    first = version(server, name)
    second = text.replace("again", "once more")
    assert publish(server, second, "").code == "conflict", "it is not new any more"
    assert publish(server, second, first).errors == []
    late = publish(server, text.replace("again", "late"), first)
    assert late.code == "conflict" and version(server, name)[:12] in late.message
    entry = graphql(server, "{ audit(last: 2) { action after } }").data["audit"]
    assert {"action": "flow.publish", "after": {"version": version(server, name), "note": "why"}} in entry


def test_of_two_that_publish_at_once_one_is_told(server: Served) -> None:
    text = fresh()
    name = text.split()[1]
    assert publish(server, text).errors == []
    live = version(server, name)
    answers = [publish(server, text.replace("again", word), live) for word in ("one", "two")]
    assert [each.code for each in answers] == ["", "conflict"]


def test_a_flow_of_the_folder_is_written_to_its_file_and_stays(server: Served) -> None:
    file = server.home / "flows" / "kept.yaml"
    live = version(server, "kept")
    text = file.read_text().replace("again", "# no comment: written\n").replace("# no comment: written\n", "written")
    made = publish(server, "# a comment of mine\n" + text, live)
    assert made.errors == [] and made.data["publishFlow"]["flow"]["file"] == "kept.yaml"
    assert file.read_text() == "# a comment of mine\n" + text, "byte for byte"
    (server.home / "flows" / "other.yaml").write_text(FLOW.format(name="other"))
    until(lambda: version(server, "other"))
    assert version(server, "kept") == made.data["publishFlow"]["flow"]["version"], "it is not put back"
    assert publish(server, text.replace("written", "x"), live).code == "conflict"
    file.write_text("name: kept\nnodes: [")  # somebody else edits it, and is not done
    refused = publish(server, text.replace("written", "y"))
    assert refused.code == "conflict" and "changed meanwhile" in refused.message
    assert file.read_text() == "name: kept\nnodes: ["
    shown = graphql(server, "{ flowFiles { name file valid findings { message } } }").data["flowFiles"]
    assert {each["name"]: each["valid"] for each in shown} == {"kept": False, "other": True}


def test_drafts_are_ones_own_and_a_lost_update_is_refused(server: Served) -> None:
    mine = new_user(server, f"d{next(NUMBER)}@example.com", "editor")
    yours = new_user(server, f"d{next(NUMBER)}@example.com", "editor")
    text = fresh()
    name = text.split()[1]
    saved = mine.graphql(SAVE, n=name, t=text, s=0, l={"first": [1, 2]}).data["saveFlowDraft"]
    assert saved["text"] == text and saved["layout"] == {"first": [1, 2]} and saved["mine"]
    assert mine.graphql(SAVE, n=name, t="lost", s=0).code == "conflict", "of another tab"
    again = mine.graphql(SAVE, n=name, t=text + "# more", s=saved["saved"]).data["saveFlowDraft"]
    assert again["saved"] > saved["saved"]
    seen = yours.graphql("{ flowDrafts { name user mine text saved } }").data["flowDrafts"]
    shown = next(each for each in seen if each["name"] == name)
    assert shown["user"] == mine.user and shown["text"] is None and not shown["mine"]
    assert read(yours, name) is None
    assert read(mine, name) == text + "# more"
    assert version(server, name) == "", "a draft publishes nothing"
    assert text.encode() not in (server.home / "sizewise.db").read_bytes()
    drop = "mutation($n: String!) { dropFlowDraft(name: $n) { name } }"
    assert yours.graphql(drop, n=name).code == "not_found"
    assert mine.graphql(drop, n=name).errors == [] and read(mine, name) is None


def read(browser: Browser, name: str) -> str | None:
    found = browser.graphql("query($n: String!) { flowDraft(name: $n) { text } }", n=name).data["flowDraft"]
    return None if found is None else str(found["text"])


def test_a_service_key_has_no_drafts_and_who_may_not_publish_none_either(server: Served) -> None:
    refused = graphql(server, SAVE, key=fresh_key(server, "manage_flows"), n="x", t="name: x")
    assert refused.code == "bad_request" and "belong to people" in refused.message
    viewer = new_user(server, f"d{next(NUMBER)}@example.com", "developer")
    assert viewer.graphql(SAVE, n="x", t="name: x").code == "forbidden"
    mine = new_user(server, f"d{next(NUMBER)}@example.com", "editor")
    for name in ("", "../x", "a b", "x" * 200):
        assert mine.graphql(SAVE, n=name, t="x").code == "bad_request"
    assert mine.graphql(SAVE, n="x", t="x" * 1_100_000).code == "bad_request"


def test_erasing_a_person_erases_the_drafts(server: Served) -> None:
    mine = new_user(server, f"d{next(NUMBER)}@example.com", "editor")
    assert mine.graphql(SAVE, n="gone", t="name: gone").errors == []
    erase = "mutation($u: String!) { erasePersonalData(user: $u, dryRun: false) { __typename } }"
    assert graphql(server, erase, u=mine.user).errors == []
    names = [each["name"] for each in graphql(server, "{ flowDrafts { name } }").data["flowDrafts"]]
    assert "gone" not in names


def test_the_difference_of_two_versions(server: Served) -> None:
    text = fresh()
    name = text.split()[1]
    first = publish(server, text).data["publishFlow"]["flow"]["version"]
    changed = text.replace("again", "once more").replace("outputs:", "  last: {kind: template, text: x}\noutputs:")
    second = publish(server, changed).data["publishFlow"]["flow"]["version"]
    ask = """query($b: String!, $a: String!, $n: String) { flowDiff(before: $b, after: $a, name: $n) {
      unified sameMeaning nodesAdded nodesRemoved nodesChanged } }"""
    shown = graphql(server, ask, b=first, a=second, n=name).data["flowDiff"]
    assert (shown["nodesAdded"], shown["nodesRemoved"], shown["nodesChanged"]) == (["last"], [], ["third"])
    assert "+  last: {kind: template, text: x}" in shown["unified"] and not shown["sameMeaning"]
    comment = graphql(server, ask, b=text, a="# only a comment\n" + text, n="").data["flowDiff"]
    assert comment["sameMeaning"] and "+# only a comment" in comment["unified"]
    texts = graphql(server, "query($n: String!) { flowVersions(name: $n) { version text } }", n=name).data
    assert {each["version"]: each["text"] for each in texts["flowVersions"]} == {first: text, second: changed}


def test_what_a_flow_is_written_with(server: Served) -> None:
    ask = """{ flowSchema nodeKinds { name sideEffect hasNodes canBePinned parameters { name type required names } }
      flowFilters { name inputs arguments } flowNames { models flows policies tools } }"""
    shown = graphql(server, ask).data
    kinds = {each["name"]: each for each in shown["nodeKinds"]}
    assert kinds["http"]["sideEffect"] and kinds["each"]["hasNodes"] and kinds["ask"]["canBePinned"]
    assert {"name": "model", "type": "text", "required": False, "names": "models"} in kinds["ask"]["parameters"]
    assert f"node_{'ask'}" in shown["flowSchema"]["$defs"] and "echo/small" in shown["flowNames"]["models"]
    assert "default" in {each["name"] for each in shown["flowFilters"]}


# ---- trials


def test_a_trial_tells_what_each_node_does_and_publishes_nothing(server: Served) -> None:
    text = fresh()
    shown = trial(server, text)
    assert states(shown) == {"first": "done", "second": "done", "third": "done", "": "ended"}
    first = next(each for each in shown if each["key"] == "first" and each["state"] == "done")
    assert first["model"] == "echo/small" and first["output"]["text"] == "hello"
    assert shown[-1]["output"] == {"answer": "again: <hello>"} and version(server, text.split()[1]) == ""
    assert "".join(each["text"] for each in shown if each["state"] == "text") == "again: <hello>"
    records = graphql(server, "{ records(last: 2) { rows { node } } }").data["records"]["rows"]
    assert {each["node"] for each in records} == {"first", "third"}, "recorded as any request"


def test_one_node_with_a_pin_asks_no_other(server: Served) -> None:
    text = fresh()
    alone = trial(server, text, p={"first": {"text": "pinned", "model": "m"}}, n=["second"])
    assert states(alone) == {"first": "pinned", "second": "done", "": "ended"}
    assert next(each for each in alone if each["key"] == "second" and each["output"])["output"]["text"] == "<pinned>"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n": ["second"]}, "uses the output of 'first'"),
        ({"n": ["nobody"]}, "no node 'nobody'"),
        ({"p": {"first": "a text"}}, "the pin does not fit: first is a text"),
        ({"p": {"first": {"text": 5}}}, "the pin does not fit: first.text is an integer"),
        ({"p": [1]}, "`pins` is not an object"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_in_words(server: Served, given: dict[str, object], message: str) -> None:
    assert message in refusal(server, fresh(), **given)["message"]


def test_a_node_that_fails_is_an_event(server: Served) -> None:
    shown = trial(server, fresh().replace("echo/small, prompt", "echo/nothing, prompt"))
    assert states(shown) == {"first": "done", "second": "done", "third": "failed", "": "failed"}
    assert shown[-1]["error"] == "model_not_found" and shown[-1]["message"].startswith("third: ")
    lacks = trial(server, fresh(), i={})
    assert [(each["state"], each["error"]) for each in lacks] == [("failed", "bad_request")]


def test_effects_wait_for_a_yes(server: Served) -> None:
    text = "name: effect\nnodes:\n  keep: {kind: memory, do: forget, whose: 'user:x'}\n"
    refused = refusal(server, text, i={})
    assert "these nodes change something outside: keep" in refused["message"]
    assert "allowSideEffects" in refused["extensions"]["hint"]
    pinned = trial(server, text, i={}, p={"keep": {"memories": [], "count": 0, "data_class": None}})
    assert states(pinned) == {"keep": "pinned", "": "ended"}


def test_a_past_run_gives_its_inputs_and_outputs(server: Served) -> None:
    text = fresh()
    name = text.split()[1]
    publish(server, text)
    run = graphql(server, START, f=name, i={"question": "of the run"}).data["startFlowRun"]["id"]
    until(lambda: graphql(server, f'{{ flowRun(id: "{run}") {{ state }} }}').data["flowRun"]["state"] == "done")
    shown = trial(server, text.replace("again", "changed"), i=None, r=run, n=["third"])
    assert states(shown) == {"first": "pinned", "second": "pinned", "third": "done", "": "ended"}
    last = next(each for each in shown if each["key"] == "third" and each["state"] == "done")
    assert last["output"]["text"] == "changed: <of the run>"
