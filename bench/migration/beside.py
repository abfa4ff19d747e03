"""One configuration, a real LiteLLM proxy and Sizewise with what it imported: the same questions, what came of each.

`python -m bench.migration.beside`. Needs LiteLLM: bench/gateway/install_peers. Compares the status that a client gets
and the models, keys and paths that reached the model server.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path

from bench.gateway.peers import KEY, Place, litellm
from bench.gateway.process import DidNotStart, Program, free_port
from sizewise.flows.language.yaml_source import parse_yaml
from sizewise.migration.litellm import import_litellm
from tests.fakes.fake_openai_echo import FakeOpenAIEcho
from tests.gateway.server_harness import beside

CONFIG = """
model_list:
  - {{model_name: plain, litellm_params: {{model: openai/well, api_base: "{url}", api_key: sk-one}}}}
  - {{model_name: bad, litellm_params: {{model: openai/broken, api_base: "{url}", api_key: sk-one}}}}
  - {{model_name: shared, litellm_params: {{model: openai/well, api_base: "{url}", api_key: sk-two}}}}
  - {{model_name: shared, litellm_params: {{model: openai/well, api_base: "{url}", api_key: sk-three}}}}
  - model_name: team/vectors
    litellm_params: {{model: openai/vec, api_base: "{url}", api_key: sk-one}}
    model_info: {{mode: embedding}}
  - {{model_name: refuses, litellm_params: {{model: openai/refuses, api_base: "{url}", api_key: sk-one}}}}
  - {{model_name: locked, litellm_params: {{model: openai/locked, api_base: "{url}", api_key: sk-one}}}}
litellm_settings: {{num_retries: 1, fallbacks: [{{bad: [plain]}}], drop_params: true, telemetry: false}}
router_settings: {{model_group_alias: {{other: plain}}}}
general_settings: {{master_key: os.environ/MASTER}}
"""
CHAT: dict[str, object] = {"messages": [{"role": "user", "content": "Hello"}]}
QUESTIONS: tuple[tuple[str, str, dict[str, object], int], ...] = (
    ("plain", "/v1/chat/completions", CHAT, 1),
    ("plain, streamed", "/v1/chat/completions", {**CHAT, "stream": True}, 1),
    ("other", "/v1/chat/completions", CHAT, 1),
    ("shared", "/v1/chat/completions", CHAT, 20),
    ("bad", "/v1/chat/completions", CHAT, 1),
    ("team/vectors", "/v1/embeddings", {"input": "Hello"}, 1),
    ("refuses", "/v1/chat/completions", CHAT, 1),
    ("locked", "/v1/chat/completions", CHAT, 1),
    ("absent", "/v1/chat/completions", CHAT, 1),
)
"""(name, path, body, times)."""


def asked(port: int, path: str, body: dict[str, object]) -> tuple[int, str]:
    """Status, and the text of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    if body.get("stream"):
        chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
        return answer.status, "".join(
            each["choices"][0]["delta"].get("content") or "" for each in chunks if each["choices"]
        )
    shown = json.loads(text)
    if "choices" in shown:
        return answer.status, shown["choices"][0]["message"]["content"]
    return answer.status, str(len(shown["data"][0]["embedding"])) if "data" in shown else ""


def rows(port: int, upstream: FakeOpenAIEcho) -> list[str]:
    """For each question: the status, the text, and what the model server saw."""
    found = []
    for name, path, body, times in QUESTIONS:
        seen = upstream.received
        before = len(seen.bodies)
        answers = {asked(port, path, {"model": name.partition(",")[0], **body}) for _ in range(times)}
        models = [str(each["model"]) for each in seen.bodies[before:]]
        keys = {each.get("authorization", "") for each in seen.headers[before:]}
        tries = models if times == 1 else sorted(set(models))
        found.append(f"{sorted(answers)} asked {tries} by {sorted(keys)} at {sorted(set(seen.paths[before:]))}")
    return found


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-migration-") as name, beside(FakeOpenAIEcho) as upstream:
        folder = Path(name)
        place = Place(folder, free_port(), 1)
        theirs = litellm(place)
        if theirs is None:
            sys.exit("LiteLLM is not installed: bench/gateway/install_peers")
        (folder / "config.yaml").write_text(CONFIG.format(url=upstream.url))
        found = import_litellm(folder / "config.yaml", partial(parse_yaml, allow_aliases=True), os.environ)
        (folder / "sizewise.toml").write_text(found.text)
        keys = {"OPENAI_KEY_1": "sk-one", "OPENAI_KEY_2": "sk-two", "OPENAI_KEY_3": "sk-three"}
        env = {**os.environ, **theirs.env, **keys, "MASTER": KEY, "SIZEWISE_KEY": KEY}
        ours = free_port()
        up = (sys.executable, "-m", "sizewise.cli.main", "up", "--port", str(ours), "--home", str(folder / "home"))
        programs = (
            (place.port, theirs.command, theirs.ready, folder / "litellm.log"),
            (ours, (*up, "--config", str(folder / "sizewise.toml")), "/readyz", folder / "sizewise.log"),
        )
        answers = []
        for port, command, ready, log in programs:
            program = Program(command, env, log, *os.sched_getaffinity(0))
            try:
                program.ready(port, ready)
                answers.append(rows(port, upstream))
            except DidNotStart as error:
                sys.exit(str(error))
            finally:
                with suppress(ProcessLookupError):
                    program.stop()
    for (name, *_), one, two in zip(QUESTIONS, *answers, strict=True):
        print(f"{'same' if one == two else 'other'}: {name}\n  LiteLLM {theirs.version}: {one}")
        print("" if one == two else f"  Sizewise: {two}\n", end="")


if __name__ == "__main__":
    main()
