"""The PyPI package `lamatic`, unchanged: a flow, polling, a signed token in the place of a key; prints each result."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import asdict

import httpx
from lamatic import Lamatic

ENDPOINT = f"{os.environ['SIZEWISE_URL']}/graphql"
PROJECT = "b2c4f0d6-1f37-4b02-9a58-4c0f6d1f2a11"
ASKED = {"question": "one two"}
DECIDE = 'mutation($i: String!) { decide(id: $i, key: "asked", approved: true) { state } }'


def client(key: str) -> Lamatic:
    return Lamatic(ENDPOINT, PROJECT, api_key=key)


def main() -> dict[str, object]:
    mine = client(os.environ["SIZEWISE_KEY"])
    signed = Lamatic(ENDPOINT, PROJECT, access_token=os.environ["TOKEN"])
    return {
        "flow": asdict(mine.execute_flow("support-desk", ASKED)),
        "async": asdict(asyncio.run(mine.async_execute_flow("support-desk", ASKED))),
        "signed": asdict(signed.execute_flow("support-desk", ASKED)),
        "wrong": asdict(mine.execute_flow("support-desk", {"question": 5})),
        "unknown": asdict(mine.execute_flow("nothing", ASKED)),
        "stranger": asdict(client("lt-nobody").execute_flow("support-desk", ASKED)),
        "polled": asyncio.run(_polled(mine)),
    }


async def _polled(mine: Lamatic) -> dict[str, object]:
    """A run that waits for a person, polled before it is decided."""
    begun = mine.execute_flow("refund", {"sum": 5})
    assert begun.result is not None
    id = begun.result["requestId"]
    polling = asyncio.create_task(mine.async_check_status(id, poll_interval=0, poll_timeout=60))
    async with httpx.AsyncClient() as http:
        headers = {"authorization": f"Bearer {os.environ['DECIDER']}"}
        await http.post(ENDPOINT, json={"query": DECIDE, "variables": {"i": id}}, headers=headers)
    return {"ended": asdict(await polling), "again": asdict(mine.check_status(id))}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main()))
