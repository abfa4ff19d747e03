"""How well a local model calls tools: each committed prompt with `auto`, `required` and the function's name.

    python -m bench.tools.run                        # local/qwen2.5-coder-1.5b
    python -m bench.tools.run --model NAME --out FILE  # continues what FILE has
    python -m bench.tools.run --modes required named   # forced calls alone

Prints the table of README.md. A call is well-formed if its tool was offered and its arguments fit the tool's schema.
Whether it is the right call is another column, which has no bar.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import jsonschema_rs

from bench.deadlines.run import server

HERE = Path(__file__).parent
SETTINGS = "[server]\ndiscover = false\n[local]\nslots = 1\ncontext = 4096\n"
MODES = ("auto", "required", "named")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--model", default="local/qwen2.5-coder-1.5b")
    arguments.add_argument("--out", type=Path, default=None)
    arguments.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    given = arguments.parse_args()
    tools = json.loads((HERE / "tools.json").read_text())
    rows = [json.loads(line) for line in (HERE / "prompts.jsonl").read_text().splitlines()]
    seen: list[dict[str, Any]] = []
    if given.out is not None and given.out.exists():
        seen = [json.loads(line) for line in given.out.read_text().splitlines()]
    done = {(each["id"], each["mode"]) for each in seen}
    with server(SETTINGS) as (port, key):
        for mode in given.modes:
            for row in rows:
                if (row["id"], mode) in done or (mode != "auto" and row["call"] is None):
                    continue
                found = {"id": row["id"], "mode": mode, **ask(port, key, given.model, row, tools[row["tools"]], mode)}
                seen.append(found)
                if given.out is not None:
                    with given.out.open("a") as out:
                        out.write(json.dumps(found, ensure_ascii=False) + "\n")
                print(f"{row['id']:16}{mode:10}{found['form']}", file=sys.stderr, flush=True)
    print(table(rows, seen))


def ask(port: int, key: str, model: str, row: dict[str, Any], tools: list[Any], mode: str) -> dict[str, Any]:
    """`form`: well-formed, malformed or none; `right`: the expected call."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": row["prompt"]}],
        "tools": tools,
        "tool_choice": {"type": "function", "function": {"name": row["call"]}} if mode == "named" else mode,
        "temperature": 0,
        "max_tokens": 200,
    }
    connection = HTTPConnection("127.0.0.1", port, timeout=900)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    answer = connection.getresponse()
    said = json.loads(answer.read())
    if answer.status != 200:
        return {"form": "malformed", "right": False, "error": said["error"]["message"]}
    message = said["choices"][0]["message"]
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or ()]
    shown = {"text": message["content"], "calls": calls, "usage": said["usage"]["completion_tokens"]}
    if not calls:
        return {"form": "none", "right": row["call"] is None, **shown}
    form = "well-formed" if all(fits(tools, *call) for call in calls) else "malformed"
    return {"form": form, "right": form == "well-formed" and is_right(row, calls[0]), **shown}


def fits(tools: list[Any], name: str, arguments: str) -> bool:
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in tools}
    try:
        return name in schemas and jsonschema_rs.is_valid(schemas[name], json.loads(arguments))
    except ValueError:
        return False


def is_right(row: dict[str, Any], call: tuple[str, str]) -> bool:
    """The expected tool, and every expected argument, whatever the others are."""
    arguments = json.loads(call[1])
    return call[0] == row["call"] and all(
        arguments.get(name) == value for name, value in (row["arguments"] or {}).items()
    )


def table(rows: list[dict[str, Any]], seen: list[dict[str, Any]]) -> str:
    calls = {row["id"] for row in rows if row["call"] is not None}
    by_mode: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in seen:
        by_mode[each["mode"] if each["id"] in calls else "auto, no tool needed"].append(each)
    lines = ["| tool_choice | prompts | well-formed | malformed | no call | right |", "|---|---:|---:|---:|---:|---:|"]
    for mode, found in by_mode.items():
        forms = [sum(each["form"] == form for each in found) for form in ("well-formed", "malformed", "none")]
        cells = [len(found), *forms, sum(each["right"] for each in found)]
        lines.append(f"| {mode} | " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
