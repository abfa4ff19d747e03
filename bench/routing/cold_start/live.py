"""Cold-start questions asked of `auto` through a new `sizewise up`, beside what was recorded; runs both local models.

python -m bench.routing.cold_start.live              # 16 questions by lot; half a minute each on two busy cores
python -m bench.routing.cold_start.live --questions 316
"""

from __future__ import annotations

import argparse
import json
import random
from http.client import HTTPConnection
from typing import Any

from bench.deadlines.run import server
from bench.routing.cold_start.record import LARGE, QUESTIONS, RECORDED
from sizewise.evals.scorers import score_answer

SETTINGS = "[server]\ndiscover = false\n[local]\ncontext = 2048\nslots = 1\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=16)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    questions = [json.loads(line) for line in QUESTIONS.read_text().splitlines()]
    outcomes = [json.loads(line) for line in (RECORDED / "outcomes.jsonl").read_text().splitlines()]
    recorded = {each["prompt_id"]: each for each in outcomes if each["model"] == LARGE}
    right, known, same = 0.0, 0.0, 0
    with server(SETTINGS) as (port, key):
        for row in random.Random(options.seed).sample(questions, options.questions):
            text, model, why = ask(port, key, row["prompt"])
            score, before = score_answer(row["scorer"], text, row["reference"]), recorded[row["prompt_id"]]
            right, known, same = right + score, known + before["score"], same + (text == before["answer"])
            print(f"{row['prompt_id']:16}{model:28}{'prior' if 'prior' in why else why:8}{score}", flush=True)
    print(f"{options.questions} asked, {right:g} right (recorded: {known:g}), {same} word for word as recorded")


def ask(port: int, key: str, prompt: str) -> tuple[str, str, str]:
    """The answer of `auto`, the model that gave it, and why that one."""
    body: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": prompt}]}
    body |= {"max_tokens": 48, "temperature": 0}
    connection = HTTPConnection("127.0.0.1", port, timeout=900)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    answer = connection.getresponse()
    said = json.loads(answer.read())
    assert answer.status == 200, said
    why = answer.headers["x-sizewise-why"]
    return said["choices"][0]["message"]["content"], answer.headers["x-sizewise-model"], why


if __name__ == "__main__":
    main()
