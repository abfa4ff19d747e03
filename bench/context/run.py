"""Summaries of long texts and compacted conversations, by pages of 500 words; prints the tables of README.md.

python -m bench.context.run                        # an echo model: calls, tokens and time of the gateway alone
python -m bench.context.run --model local/smollm2-135m --pages 2 20
python -m bench.context.run --model local/smollm2-135m --layers 2 --max-tokens 64 --pages 500  # its first two layers
python -m bench.context.run --model local/smollm2-135m --max-s 600 --pages 500                 # with a deadline
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.context.shallow_model import cut_layers
from sizewise.testing.upstream import FakeOpenAI
from tests.cli.terminal import sizewise
from tests.conftest import weights
from tests.gateway.server_harness import misbehaving
from tests.running_server import Answer, Served, serving

WORDS_PER_PAGE = 500
FACTS = 5
TIMEOUT_S = 86_400
WINDOW = 8_192
PLACES = ["harbour", "railway", "museum", "bakery", "library", "orchard", "workshop", "theatre"]
VERBS = ["inspected", "painted", "repaired", "measured", "cleaned", "photographed"]
PROMPT = "List every access code in the text with its vault. Copy the codes exactly."
QUESTION = "What is the access code of vault {name}?"
NAMES = ("Aurora", "Basalt", "Cobalt", "Damask", "Ember")
SUMMARY = """
name: pages
inputs: {{question: text}}
nodes:
  short: {{kind: summarize, text: "{{{{ inputs.question }}}}", prompt: "{prompt}", model: {model}, max_tokens: {max_tokens}, most_pieces: 2000{deadline}}}
outputs:
  answer: "{{{{ short.text }}}} / {{{{ short.pieces }}}} / {{{{ short.left_out }}}}"
"""  # noqa: E501 - one line of YAML
SETTINGS = """
[server]
embedded = {embedded}
discover = false
[router]
compaction = true
timeout_s = 3600
[providers.echo]
wire = "echo"
place = "process"
models = ["pages"]
[models."echo/pages"]
context = 8_192
[providers.rack]
base_url = "{url}"
place = "machine"
models = ["chat"]
[models."rack/chat"]
context = 8_192
"""


def pages(count: int, draw: random.Random) -> tuple[list[str], dict[str, str]]:
    """Pages of plain sentences, and the codes of vaults that are planted in FACTS of them."""
    codes = {name: f"{draw.randrange(10**5):05d}" for name in NAMES}
    found: list[str] = []
    for number in range(count):
        said: list[str] = []
        while sum(len(each.split()) for each in said) < WORDS_PER_PAGE:
            place, verb = draw.choice(PLACES), draw.choice(VERBS)
            said.append(f"On day {number} the crew {verb} the {place} and wrote {draw.randrange(90)} lines about it.")
        found.append(" ".join(said))
    for order, (name, code) in enumerate(codes.items()):
        at = min(count - 1, order * count // FACTS)
        half = found[at].index(". ", len(found[at]) // 2) + 2
        found[at] = f"{found[at][:half]}The access code of vault {name} is {code}. {found[at][half:]}"
    return found, codes


def chat(served: Served, model: str, messages: list[dict[str, str]]) -> tuple[Answer, Any, float]:
    """The answer, its body and seconds."""
    began = time.perf_counter()
    answer = served.ask("/v1/chat/completions", {"model": model, "messages": messages}, timeout=TIMEOUT_S)
    return answer, answer.json, time.perf_counter() - began


def summary_row(served: Served, count: int, draw: random.Random) -> str:
    said, codes = pages(count, draw)
    answer, body, seconds = chat(served, "flow:pages", [{"role": "user", "content": "\n\n".join(said)}])
    row = f"| {count} | {count * WORDS_PER_PAGE:,} |"
    if answer.status != 200:
        return f"{row} error: {body['error']['message'][:120]} | | | {seconds:,.1f} | |"
    text, pieces, left = body["choices"][0]["message"]["content"].rsplit(" / ", 2)
    usage, found = body["usage"], sum(code in text for code in codes.values())
    row = f"{row} {pieces} | {usage['prompt_tokens']:,} | {usage['completion_tokens']:,}"
    return f"{row} | {seconds:,.1f} | {found} of {FACTS}{' (left out: ' + left.strip() + ')' if left.strip() else ''} |"


def conversation_row(served: Served, upstream: FakeOpenAI, count: int, draw: random.Random) -> str:
    """A page is an answer; each question is after one fact that only an answer states."""
    said, codes = pages(count, draw)
    turns = [
        message
        for number, page in enumerate(said)
        for message in ({"role": "user", "content": f"Report {number}?"}, {"role": "assistant", "content": page})
    ]
    found, times, marker = 0, list[float](), ""
    for name, code in codes.items():
        question = {"role": "user", "content": QUESTION.format(name=name)}
        answer, body, seconds = chat(served, "rack/chat", [*turns, question])
        if answer.status != 200:
            return f"| {count} | error: {body['error']['message'][:80]} | | |"
        marker = answer.headers.get("x-sizewise-compacted", "sent as it is")
        found += code in json.dumps(upstream.received.bodies[-1])
        times.append(seconds * 1_000)
    return f"| {count} | {marker} | {sorted(times)[len(times) // 2]:,.0f} | {found} of {FACTS} |"


@contextmanager
def running(options: argparse.Namespace) -> Iterator[tuple[Served, FakeOpenAI]]:
    with tempfile.TemporaryDirectory() as folder, misbehaving() as upstream:
        flows = Path(folder, "flows")
        flows.mkdir()
        if options.layers:
            options.model = with_first_layers(options.model, options.layers, Path(folder))
        deadline = f", max_ms: {options.max_s * 1_000}" if options.max_s else ""
        (flows / "pages.yaml").write_text(
            SUMMARY.format(prompt=PROMPT, model=options.model, max_tokens=options.max_tokens, deadline=deadline)
        )
        local = "true" if options.model.startswith("local/") else "false"
        with serving(Path(folder), SETTINGS.format(embedded=local, url=upstream.url)) as served:
            yield served, upstream


def with_first_layers(model: str, layers: int, home: Path) -> str:
    """The name of a local model that has the first layers of `model` alone."""
    cut_layers(weights(model.removeprefix("local/")), home / "shallow.gguf", layers)
    assert sizewise("models", "add", str(home / "shallow.gguf"), "--name", "shallow", home=home).code == 0
    return "local/shallow"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="echo/pages", help="model of the summary")
    parser.add_argument("--pages", type=int, nargs="+", default=[2, 20, 100, 500])
    parser.add_argument("--max-tokens", type=int, default=150, help="tokens of a note and of the summary")
    parser.add_argument("--layers", type=int, default=0, help="take the first layers of the local model alone")
    parser.add_argument("--max-s", type=int, default=0, help="seconds that a summary may take")
    parser.add_argument("--seed", default="1")
    options = parser.parse_args()
    with running(options) as (served, upstream):
        print(f"summaries by {options.model}, window {WINDOW:,} tokens")
        print("| pages | words | pieces | prompt tokens | output tokens | seconds | facts in the summary |")
        print("|---:|---:|---:|---:|---:|---:|---:|")
        for count in options.pages:
            print(summary_row(served, count, random.Random(f"{options.seed} {count}")), flush=True)
        print("\nconversations, a page an answer; ms of the median request")
        print("| pages | compacted | ms | facts that the model got |")
        print("|---:|---|---:|---:|")
        for count in options.pages:
            print(conversation_row(served, upstream, count, random.Random(f"{options.seed} {count}")), flush=True)


if __name__ == "__main__":
    main()
