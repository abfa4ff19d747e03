"""What each page of the studio and each verb takes in a home with much in it: records, keys, flows and passages.

    python -m bench.volume.run [--records 1000000] [--keys 1000] [--flows 300] [--passages 100000] [--rounds 3] [--json]

The passages' text is real (bench/knowledge/texts.py); their vectors are those of the echo provider, as an embedding
model would take most of an hour for them.

A page's time is the browser's, from the navigation until its last question to /graphql is answered; the slowest of
them is named. A verb's is its whole process. Needs Debian's Chromium and `make .venv/browser/ready`.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from bench.knowledge.texts import windows
from bench.studio.run import multiply, wait_until_summed
from sizewise.gateway.studio import PAGES
from tests.auth.user_client import new_user
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, serving
from tests.studio.browser import driven, tab
from tests.studio.traffic import SETTINGS, fill, write_flow

PAGE_MS, VERB_MS = 1_000, 1_000
"""Budgets."""
VERBS = (
    "records --last 20",
    "records --last 20 --flow flow_7",
    "usage",
    "usage --since 30d --by model",
    "usage --since 30d --by key",
    "usage --since 30d --by session",
    "savings",
    "audit",
    "keys list",
    "flow list",
    "flow show flow_7",
    "models list",
    "release status",
    "eval list",
    "alerts",
    "batches list",
    "scores list",
    "decisions list",
    "doctor",
    "knowledge list",
    "knowledge list manual",
    "knowledge show manual manual/part_7.txt",
    "knowledge search manual 'find the module that opens a file'",
    "knowledge search manual 'find the module that opens a file' --mode words",
)
CHANGES = ("knowledge add manual {home}/more", "knowledge remove manual more/one.txt")
"""Run once: a document of as many passages as the others."""
BASE = """
[knowledge.manual]
embedding_model = "near/vectors"
chunk_tokens = 100
chunk_overlap = 0
"""
PASSAGES_OF_ONE = 100
"""In a document."""
SESSION_S = 2
"""Each record has a session, of some ten."""
OPERATION = re.compile(r"(?:query|mutation|subscription) (\w+)")
LOADED = """() => Math.max(...performance.getEntriesByType('navigation').map((each) => each.loadEventEnd),
  ...performance.getEntriesByType('resource')
    .filter((each) => each.name.endsWith('/graphql')).map((each) => each.responseEnd))"""
FLOW = """name: flow_{0}
inputs:
  mail: text
nodes:
  draft:
    kind: ask
    model: echo/small
    prompt: "{{{{ inputs.mail }}}}"
  short:
    kind: template
    text: "{0}: {{{{ draft.text }}}}"
outputs:
  answer: "{{{{ short.text }}}}"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--keys", type=int, default=1_000)
    parser.add_argument("--flows", type=int, default=300)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = list(measured(Path(folder), asked))
    if asked.json:
        print(json.dumps(rows))
        return
    for row in sorted(rows, key=lambda each: -each["ms"]):
        over = "over" if row["ms"] > row["budget"] else ""
        print(f"{row['what']:44} {row['ms']:7.0f} ms {over:5} {row['slowest']}")


def measured(home: Path, asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    write_flow(home)
    for number in range(asked.flows):
        (home / "flows" / f"flow_{number}.yaml").write_text(FLOW.format(number))
    with serving(home, SETTINGS + BASE) as server, driven() as browser:
        fill(server)
        client = new_user(server, "bench@example.com", "owner")
        for number in range(asked.keys):
            made = graphql(server, "mutation($name: String!) { createKey(name: $name) { secret } }", name=f"k{number}")
            assert made.errors == [], made.errors
        _fill_knowledge(home, asked.passages)
        multiply(home, asked.records, session_s=SESSION_S)
        wait_until_summed(home)
        pages = [path for path in PAGES if "{" not in path]
        for path in [*pages, "/knowledge/manual"]:
            yield min((_page(browser, server, client, path) for _ in range(asked.rounds)), key=lambda each: each["ms"])
        for verb in VERBS:
            yield {"what": f"sizewise {verb}", "budget": VERB_MS, **_verb(home, verb, asked.rounds)}
        for verb in CHANGES:
            yield {"what": f"sizewise {verb}", "budget": VERB_MS, **_verb(home, verb, 1)}


def _fill_knowledge(home: Path, passages: int) -> None:
    """Documents as one adds them; and one more, to be added when all are there."""
    texts = (" ".join(each) for each in windows(random.Random(11)))
    for folder, documents in (("manual", -(-passages // PASSAGES_OF_ONE)), ("more", 1)):
        (home / folder).mkdir()
        for number in range(documents):
            name = "one.txt" if folder == "more" else f"part_{number}.txt"
            (home / folder / name).write_text("\n\n".join(islice(texts, PASSAGES_OF_ONE)))
    began = time.monotonic()
    words = [sys.executable, "-m", "sizewise", "knowledge", "add", "manual", str(home / "manual"), "--home", str(home)]
    subprocess.run(words, check=True, stdout=sys.stderr)
    print(f"added in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    subprocess.run([*words[:4], "list", "--home", str(home)], check=True, stdout=sys.stderr)


def _page(browser: Any, server: Served, client: Any, path: str) -> dict[str, Any]:
    took: dict[str, float] = {}
    with tab(browser, server, client) as opened:

        def note(request: Any) -> None:
            if request.url.endswith("/graphql"):
                found = OPERATION.search(request.post_data or "")
                took[found[1] if found else "?"] = request.timing["responseEnd"]

        opened.page.on("requestfinished", note)
        opened.open(path)
        opened.page.wait_for_timeout(300)
        name = max(took, key=lambda each: took[each], default="")
        slowest = f"{name} {took[name]:.0f} ms" if name else ""
        return {"what": path, "budget": PAGE_MS, "ms": opened.page.evaluate(LOADED), "slowest": slowest}


def _verb(home: Path, verb: str, rounds: int) -> dict[str, Any]:
    times = list[float]()
    for _ in range(rounds):
        began = time.perf_counter()
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "sizewise",
                *(each.format(home=home) for each in shlex.split(verb)),
                "--home",
                str(home),
            ],
            capture_output=True,
            check=False,
        )
        times.append((time.perf_counter() - began) * 1000)
    last = done.stderr.decode().strip().splitlines()[:1] if done.returncode else []
    return {"ms": median(times), "slowest": f"exit {done.returncode} {last}" if last else ""}


if __name__ == "__main__":
    main()
