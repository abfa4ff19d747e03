"""A full disk and what is operated on it: the live release answers, changes are refused clearly, then all goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import Done, sizewise
from tests.crash.test_database_away import copied, traces
from tests.gateway.server_harness import CHAT
from tests.knowledge.knowledge_server import CONFIG
from tests.running_server import Served, until
from tests.small_disk import SmallDisk, missing, serving_on_a_small_disk

LACKING = missing()
SETTINGS = CONFIG + "[environments.staging]\n[environments.prod]\n"
FLOW = 'name: answer\ninputs: {question: text}\nnodes:\n  say: {kind: ask, model: echo/small, prompt: "ONE"}\n'
FLOW += 'outputs: {answer: "{{ say.text }}"}\n'
ASKED = {"model": "flow:answer", "messages": [{"role": "user", "content": "Hi"}]}


def run(disk: SmallDisk, folder: Path, *words: str) -> Done:
    served = disk.served
    token = (disk.home / "admin.token").read_text().strip()
    return sizewise(*words, home=folder, SIZEWISE_URL=served.url, SIZEWISE_KEY=token)


def ask(served: Served) -> str:
    answer = served.ask(CHAT, ASKED)
    assert answer.status == 200, answer.body
    return str(answer.headers["x-sizewise-trace"])


@pytest.mark.long
@pytest.mark.skipif(bool(LACKING), reason=LACKING)
def test_a_full_disk_stops_no_answer_and_each_change_says_so_until_there_is_room(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "flows").mkdir(parents=True)
    flow, text = project / "flows" / "answer.yaml", project / "handbook.md"
    flow.write_text(FLOW)
    text.write_text("Everybody has thirty days of holidays.\n")
    with serving_on_a_small_disk(tmp_path / "small", SETTINGS) as disk:
        assert run(disk, project, "flow", "publish", str(flow)).code == 0
        assert run(disk, project, "knowledge", "add", "handbook", str(text)).code == 0
        assert run(disk, project, "release", "promote", "prod").code == 0
        flow.write_text(FLOW.replace("ONE", "TWO"))
        assert run(disk, project, "flow", "publish", str(flow)).code == 0
        assert run(disk, project, "release", "promote", "prod").code == 0
        ask(disk.served)
        disk.fill()
        answered = {ask(disk.served) for _ in range(20)}
        flow.write_text(FLOW.replace("ONE", "THREE"))
        text.write_text("Everybody has forty days of holidays.\n")
        for words in (
            ("flow", "publish", str(flow)),
            ("knowledge", "add", "handbook", str(text)),
            ("release", "rollback", "prod"),
            ("keys", "create", "more"),
        ):
            refused = run(disk, project, *words)
            assert refused.code in (1, 3) and "Traceback" not in refused.err, (words, refused)
            assert "the disk is full: free some space" in refused.err, (words, refused)
        answered |= {ask(disk.served) for _ in range(20)}
        assert any("cannot write records" in each for each in disk.served.ask("/readyz", key=None).json["impaired"])  # type: ignore[index]  # an object
        disk.free()
        until(lambda: not disk.served.ask("/readyz", key=None).json["impaired"])  # type: ignore[index]  # an object
        until(lambda: answered <= traces(copied(disk.home, tmp_path / f"copy{len(list(tmp_path.iterdir()))}")))
        assert run(disk, project, "flow", "publish", str(flow)).code == 0
        assert run(disk, project, "release", "rollback", "prod").code == 0
        assert run(disk, project, "knowledge", "add", "handbook", str(text)).code == 0
        found = run(disk, project, "knowledge", "search", "handbook", "holidays", "--mode", "words")
        assert "forty days" in found.out and "thirty" not in found.out
