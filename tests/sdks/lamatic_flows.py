"""The PyPI package `lamatic`, unchanged: runs each flow of a file with its payload, and prints what each came to."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from lamatic import Lamatic

PROJECT = "b2c4f0d6-1f37-4b02-9a58-4c0f6d1f2a11"


async def main() -> dict[str, object]:
    client = Lamatic(f"{os.environ['SIZEWISE_URL']}/graphql", PROJECT, api_key=os.environ["SIZEWISE_KEY"])
    calls: dict[str, dict[str, object]] = json.loads(Path(os.environ["CALLS"]).read_text())
    told: dict[str, object] = {}
    for flow, payload in calls.items():
        try:
            answer = await client.async_execute_flow(flow, payload)
            if answer.status == "success" and set(answer.result or {}) == {"requestId"}:  # it runs on
                answer = await client.async_check_status(answer.result["requestId"], poll_interval=1, poll_timeout=60)
            told[flow] = asdict(answer)
        except Exception as error:  # what the package throws is a result too
            told[flow] = {"status": "error", "message": f"{type(error).__name__}: {error}", "result": None}
    return told


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main())))
