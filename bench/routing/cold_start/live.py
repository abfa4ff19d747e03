"""Cold-start questions asked of `auto` and of the small model through a new `sizewise up`; runs both local models.

python -m bench.routing.cold_start.live                  # all 316, or what is left of them; then the table
python -m bench.routing.cold_start.live --questions 16   # at most 16 more, by lot
python -m bench.routing.cold_start.live --questions 0    # the table of what was asked; no model

Each answer is kept at once in recorded/live.jsonl, so it continues where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from bench.deadlines.run import server
from bench.routing.cold_start.record import LARGE, LONGEST, QUESTIONS, RECORDED, SMALL
from bench.routing.cold_start.run import bound
from sizewise.evals.scorers import score_answer

LIVE = RECORDED / "live.jsonl"
SEED = 7
SETTINGS = "[server]\ndiscover = false\n[local]\ncontext = 2048\nslots = 1\n"

Row = dict[str, Any]
"""prompt_id, target (what was asked for), model (what answered), why, score, answer, seconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=316, help="how many more are asked, at most")
    options = parser.parse_args()
    left = list(unanswered(rows(LIVE)))[: 2 * options.questions]
    if left:
        with server(SETTINGS) as (port, key), LIVE.open("a", encoding="utf-8") as file:
            for question, target in left:
                row = ask(port, key, question, target)
                print(f"{row['prompt_id']:16}{target:20}{row['model']:28}{row['score']}", flush=True)
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                file.flush()
    print(table(rows(LIVE), rows(RECORDED / "outcomes.jsonl")))


def rows(file: Path) -> list[Row]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


def unanswered(asked: list[Row]) -> Iterator[tuple[Row, str]]:
    """Questions by lot, each for `auto` and for the small model."""
    known = {(each["prompt_id"], each["target"]) for each in asked}
    questions = rows(QUESTIONS)
    random.Random(SEED).shuffle(questions)
    for question in questions:
        for target in ("auto", SMALL):
            if (question["prompt_id"], target) not in known:
                yield question, target


def ask(port: int, key: str, question: Row, target: str) -> Row:
    body: Row = {"model": target, "messages": [{"role": "user", "content": question["prompt"]}]}
    body |= {"max_tokens": LONGEST, "temperature": 0}
    connection = HTTPConnection("127.0.0.1", port, timeout=900)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    began = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    answer = connection.getresponse()
    said = json.loads(answer.read())
    assert answer.status == 200, said
    text = said["choices"][0]["message"]["content"]
    return {
        "prompt_id": question["prompt_id"],
        "target": target,
        "model": answer.headers["x-sizewise-model"],
        "why": answer.headers["x-sizewise-why"],
        "score": score_answer(question["scorer"], text, question["reference"]),
        "answer": text,
        "seconds": round(time.perf_counter() - began, 2),
    }


def table(live: list[Row], recorded: list[Row]) -> str:
    """Of the questions that both targets answered; the large model alone is what was recorded of it."""
    of = {(each["prompt_id"], each["target"]): each for each in live}
    known = {each["prompt_id"]: each for each in recorded if each["model"] == LARGE}
    ids = [each for each, target in of if target == "auto" and (each, SMALL) in of]
    if not ids:
        return "no question was asked"
    small, auto = [of[each, SMALL]["score"] for each in ids], [of[each, "auto"]["score"] for each in ids]
    large = [known[each]["score"] for each in ids]
    kept = [of[each, "auto"]["model"] == SMALL for each in ids]
    share = sum(kept) / len(ids)
    ways = {
        "the 135M": (small, 1.0),
        "the 1.5B, as recorded": (large, 0.0),
        "`auto`": (auto, share),
        "random, as often": ([share * a + (1 - share) * b for a, b in zip(small, large, strict=True)], share),
        "random, half": ([(a + b) / 2 for a, b in zip(small, large, strict=True)], 0.5),
        "oracle": (
            [max(pair) for pair in zip(small, large, strict=True)],
            sum(a >= b for a, b in zip(small, large, strict=True)) / len(ids),
        ),
    }
    lines = ["| way | right | kept small | loses, points |", "|---|---|---|---|"]
    for name, (scores, part) in ways.items():
        loss = 100 * (sum(large) - sum(scores)) / len(ids)
        lines.append(f"| {name} | {sum(scores) / len(ids):.1%} | {part:.0%} | {loss:+.1f} |")
    losses = [b - a for a, b in zip(auto, large, strict=True)]
    same = sum(of[each, "auto"]["answer"] == known[each]["answer"] for each in ids)
    prior = sum("prior" in of[each, "auto"]["why"] for each in ids)
    told = f"{len(ids)} questions. `auto` loses at most {100 * bound(losses):.1f} points (95 %)"
    return "\n".join(
        [*lines, "", f"{told}; {prior} decisions say `prior`, {same} answers are word for word the recorded ones."]
    )


if __name__ == "__main__":
    main()
