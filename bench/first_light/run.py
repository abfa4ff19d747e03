"""Asks the committed questions of a running Sizewise, cascade and both models alone; sees only what any client sees.

    python -m bench.first_light.run                                   # starts `sizewise up` with a home of its own
    python -m bench.first_light.run --base http://127.0.0.1:8080 --key sk-… --json result.json

Exit code 3: no server, or one of the models does not answer. Single failed questions count as wrong and are reported.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from bench.first_light.check import right
from bench.first_light.report import page, sentence
from bench.first_light.statistics import Answer, Asked, bootstrap, compare_policies, lead, quadrants, random_spread

QUESTIONS = Path(__file__).with_name("questions.jsonl")


@dataclass(frozen=True, slots=True)
class Question:
    id: str
    kind: str
    prompt: str
    check: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Said:
    """What came back for a question. `tokens`: prompt and reply of the model that answered; `cost`: dollars as sent."""

    text: str
    model: str
    why: str
    attempts: int
    cost: str
    tokens: int
    seconds: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    base: str
    key: str
    timeout: float  # seconds for one reply
    max_tokens: int

    def ask(self, model: str, prompt: str) -> Said:
        """One greedy reply over a connection of its own; a failure is a Said with `error`."""
        body = {
            "model": model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "seed": 1,
            "max_tokens": self.max_tokens,
        }
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        began = time.perf_counter()
        try:
            status, head, raw = self.fetch("POST", "/v1/chat/completions", json.dumps(body).encode(), headers)
            reply = json.loads(raw)
            if status != 200:
                return failed(began, f"{status} {reply['error']['code']}")
            return Said(
                text=reply["choices"][0]["message"]["content"] or "",
                model=head["x-sizewise-model"],
                why=head["x-sizewise-why"],
                attempts=int(head.get("x-sizewise-attempts", "1")),
                cost=head["x-sizewise-cost-usd"],
                tokens=reply["usage"]["total_tokens"],
                seconds=time.perf_counter() - began,
            )
        except (OSError, HTTPException, ValueError, LookupError, TypeError) as broken:
            return failed(began, f"{type(broken).__name__}: {broken}")

    def fetch(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in lower case, body. OSError or HTTPException when there is no answer."""
        url = urlsplit(self.base)
        connect = HTTPSConnection if url.scheme == "https" else HTTPConnection
        connection = connect(url.hostname or "", url.port, timeout=self.timeout)
        try:
            connection.request(method, url.path.rstrip("/") + path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()


def failed(began: float, error: str) -> Said:
    return Said("", "", "", 1, "unknown", 0, time.perf_counter() - began, error)


def main() -> None:
    args = arguments().parse_args()
    questions = read(QUESTIONS)
    with served(args) as server:
        said = interview(server, questions, {"auto": args.auto, "small": exact(args.small), "large": exact(args.large)})
    asked = [judged(question, said, args.large) for question in questions]
    digest = hashlib.sha256(QUESTIONS.read_bytes()).hexdigest()
    print(f"{len(asked)} questions, sha256 {digest[:16]}; {args.auto} between {args.small} and {args.large}; greedy,")
    print(f"at most {args.max_tokens} tokens a reply; a discarded small reply counts as many as when asked alone.\n")
    print(page(asked))
    print("\n".join(notes(said, {bare(args.small), bare(args.large)})))
    if args.json:
        settings = {"auto": args.auto, "small": args.small, "large": args.large, "max_tokens": args.max_tokens}
        args.json.write_text(json.dumps(result(settings | {"questions": digest}, questions, said, asked), indent=1))


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", help="URL of a running Sizewise; without it one is started")
    parser.add_argument("--key", default=os.environ.get("SIZEWISE_KEY", ""), help="API key (default: $SIZEWISE_KEY)")
    parser.add_argument("--auto", default="auto", help="the model name that routes")
    parser.add_argument("--small", default="smollm2-135m")
    parser.add_argument("--large", default="qwen2.5-coder-1.5b")
    parser.add_argument("--max-tokens", type=int, default=64, help="bound of one reply")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for one reply")
    parser.add_argument("--config", type=Path, help="sizewise.toml for the server that is started")
    parser.add_argument("--json", type=Path, help="write everything, replies too, to this file")
    return parser


def read(path: Path) -> list[Question]:
    return [Question(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def interview(server: Server, questions: list[Question], models: dict[str, str]) -> dict[str, dict[str, Said]]:
    """Way -> question -> reply. One way after the other, so that none finds its prompt still warm from another."""
    for model in (models["small"], models["large"]):
        ready = server.ask(model, "Say hello.")  # loads the weights before any clock that counts
        if ready.error:
            print(f"{model!r} does not answer: {ready.error}", file=sys.stderr)
            raise SystemExit(3)
    said: dict[str, dict[str, Said]] = {}
    for way, model in models.items():
        said[way] = {}
        for number, question in enumerate(questions, 1):
            print(f"\r{way} {number}/{len(questions)} ", end="", file=sys.stderr, flush=True)
            said[way][question.id] = server.ask(model, question.prompt)
    print("\r" + " " * 20 + "\r", end="", file=sys.stderr)
    return said


def judged(question: Question, said: Mapping[str, Mapping[str, Said]], large: str) -> Asked:
    """The door's usage is that of the reply it shows; the discarded small reply's is that of the small model alone."""
    auto, small = said["auto"][question.id], said["small"][question.id]
    escalated = bare(auto.model) == bare(large)
    discarded = small.tokens if escalated and auto.attempts > 1 else 0

    def answer(reply: Said, more: int = 0) -> Answer:
        return Answer(not reply.error and right(question.check, reply.text), reply.tokens + more, reply.seconds)

    return Asked(
        escalated,
        len(question.prompt),
        answer(auto, discarded),
        answer(small),
        answer(said["large"][question.id]),
    )


def notes(said: Mapping[str, Mapping[str, Said]], known: set[str]) -> Iterator[str]:
    """What a reader must know before believing the table: costs, failures (counted as wrong), models not named."""
    for way, replies in said.items():
        costs = [reply.cost for reply in replies.values()]
        yield f"{way}: {'unknown' if 'unknown' in costs else sum(map(Decimal, costs))} dollars by the cost headers"
        for id, reply in replies.items():
            if reply.error:
                yield f"  {id} failed, counted as wrong: {reply.error}"
            elif bare(reply.model) not in known:
                yield f"  {id} was answered by {reply.model!r}, which this run does not know"


def exact(model: str) -> str:
    return model if "/" in model else f"local/{model}"


def bare(model: str) -> str:
    return model.rpartition("/")[2]


def result(
    settings: Mapping[str, object],
    questions: list[Question],
    said: Mapping[str, Mapping[str, Said]],
    asked: list[Asked],
) -> dict[str, object]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": settings,
        "quadrants": [asdict(row) for row in quadrants(asked)],
        "ways": [asdict(row) for row in compare_policies(asked)],
        "random": asdict(random_spread(asked, sum(a.auto.right for a in asked))),
        "lead": lead(asked),
        "lead_interval": bootstrap(asked, lead),
        "sentence": sentence(asked),
        "replies": [
            {"id": q.id, "kind": q.kind, "escalated": a.escalated}
            | {way: asdict(said[way][q.id]) for way in said}
            | {"right": {"auto": a.auto.right, "small": a.small.right, "large": a.large.right}}
            for q, a in zip(questions, asked, strict=True)
        ],
    }


@contextmanager
def served(args: argparse.Namespace) -> Iterator[Server]:
    """The server named by --base, or one of our own that ends with the run."""
    if args.base:
        yield Server(args.base, args.key, args.timeout, args.max_tokens)
        return
    with tempfile.TemporaryDirectory(prefix="first-light-") as home:
        key, port = f"sk-{secrets.token_hex(24)}", free_port()
        env = os.environ | {"SIZEWISE_HOME": home, "SIZEWISE_KEY": key}
        sizewise = str(Path(sys.executable).with_name("sizewise"))
        for model in (args.small, args.large):
            subprocess.run([sizewise, "models", "pull", model], env=env, check=True)
        threshold = Path(home) / "threshold.toml"  # the cascade that is measured; the shipped default is another
        threshold.write_text("[policies.default]\nthreshold = 0.5\n")
        config = ["--config", str(args.config or threshold)]
        with open(Path(home) / "up.log", "wb") as log:
            up = [sizewise, "up", "--port", str(port), "--home", home, *config]
            process = subprocess.Popen(up, env=env, stdout=log, stderr=subprocess.STDOUT)
        try:
            server = Server(f"http://127.0.0.1:{port}", key, args.timeout, args.max_tokens)
            await_ready(server, process, deadline=time.monotonic() + 120)
            yield server
        finally:
            process.terminate()
            process.wait(30)


def await_ready(server: Server, process: subprocess.Popen[bytes], deadline: float) -> None:
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if server.fetch("GET", "/readyz")[0] == 200:
                return
        except (OSError, HTTPException):
            pass
        time.sleep(0.1)
    print("`sizewise up` did not become ready within 120 s", file=sys.stderr)
    raise SystemExit(3)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
