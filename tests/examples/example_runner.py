"""An example as somebody who copied it runs it: its folder, its settings and what is laid over them; judges nothing."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.graphql.graphql_client import graphql
from tests.running_server import Served, serving
from tests.walls.source import ROOT

EXAMPLES = ROOT / "examples"
SYNC = "mutation ($b: String!) { syncKnowledge(base: $b) { ingested { source quarantined } failed { source why } } }"
EMBED = "mutation ($b: String!) { embedDocuments(base: $b) { waiting } }"
LIVE = "{ flows { name } }"
SPENT = """query ($t: String!) { records(filter: {trace: $t}) { rows {
  requestedModel model policy why dataClass error degraded costUsd attempts { model result place } } } }"""
QUIET = "\n[server]\ndiscover = false\n"
ECHO_LARGE = """
[providers.echo]
wire = "echo"
place = "process"
models = ["large"]
[models."echo/large".price]
input = "1"
output = "2"
"""


@contextlib.contextmanager
def copied(
    name: str,
    folder: Path,
    *weights: Path,
    over: str = "",
    instead: Mapping[str, str] | None = None,
    **environ: str,
) -> Iterator[Served]:
    """`over` is appended to the example's settings; `instead`: lines of them that are others here."""
    cache, home = folder / "cache", folder / "home"
    (cache / "models").mkdir(parents=True)
    for each in weights:
        (cache / "models" / each.name).symlink_to(each)
    shutil.copytree(EXAMPLES / name, home)
    settings = (home / "sizewise.toml").read_text()
    for old, new in (instead or {}).items():
        assert old in settings, f"the settings of {name} say no {old!r} any more"
        settings = settings.replace(old, new)
    with serving(home, settings + QUIET + over, SIZEWISE_CACHE=str(cache), **environ) as served:
        end = time.monotonic() + 30
        while not graphql(served, LIVE).data["flows"]:
            assert time.monotonic() < end, served.said
            time.sleep(0.05)
        yield served


def synced(served: Served, base: str) -> list[dict[str, Any]]:
    """The documents that were taken, all of them embedded."""
    done = graphql(served, SYNC, b=base)
    assert done.errors == [] and done.data["syncKnowledge"]["failed"] == [], done
    while graphql(served, EMBED, b=base).data["embedDocuments"]["waiting"]:
        pass
    taken: list[dict[str, Any]] = done.data["syncKnowledge"]["ingested"]
    return taken


def ask(served: Served, flow: str, question: str, **more: str) -> Any:
    """The `sizewise` object of the answer at the OpenAI endpoint, with the words as `text`, the trace and the cost."""
    body: dict[str, Any] = {"model": f"flow:{flow}", "messages": [{"role": "user", "content": question}]}
    if more:
        body["metadata"] = more
    answer: Any = served.ask("/v1/chat/completions", body, timeout=300)
    assert answer.status == 200, answer.body
    found = dict(answer.json["sizewise"])
    found["text"] = answer.json["choices"][0]["message"]["content"]
    found["trace"], found["cost"] = answer.headers["x-sizewise-trace"], answer.headers["x-sizewise-cost-usd"]
    return found


def records(served: Served, trace: str) -> list[dict[str, Any]]:
    """What was asked of models under the trace, in its order."""
    answer = graphql(served, SPENT, t=trace)
    assert answer.errors == [], answer.errors
    found: list[dict[str, Any]] = answer.data["records"]["rows"]
    return found[::-1]
