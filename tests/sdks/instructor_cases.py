"""Instructor's ways to an answer of a given shape, run in a virtual environment of its own; prints what each told.

Of its own, because Instructor holds other packages back: it wants rich below 15 and jiter below 0.15, and jiter takes
openai down to 3.3 with it.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import instructor
from openai import OpenAI
from pydantic import BaseModel, Field, field_validator

MODEL = os.environ["MODEL"]
ASK: Any = [{"role": "user", "content": "'Ulm' has 128000 people"}]


class City(BaseModel):
    name: str
    people: int = Field(ge=0)


def main() -> dict[str, object]:
    told: dict[str, object] = {}
    with OpenAI(
        base_url=f"{os.environ['SIZEWISE_URL']}/v1",
        api_key=os.environ["SIZEWISE_KEY"],
        max_retries=0,
    ) as plain:
        for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
            client = instructor.from_openai(plain, mode=mode)
            told[mode.name] = _whole(client)
            told[f"{mode.name} streamed"] = _streamed(client)
            told[f"{mode.name} again"] = _again(client)
    return told


def _whole(client: Any) -> object:
    city, raw = client.chat.completions.create_with_completion(model=MODEL, messages=ASK, response_model=City)
    return {**city.model_dump(), "tokens": raw.usage.total_tokens > 0}


def _streamed(client: Any) -> object:
    grown = list(client.chat.completions.create_partial(model=MODEL, messages=ASK, response_model=City))
    return {**grown[-1].model_dump(), "grew": len(grown) > 1}


def _again(client: Any) -> object:
    """A city whose first name is never good enough: what was wrong with it travels to the model, which tries again."""
    tries: list[str] = []

    class Choosy(City):
        @field_validator("name")
        @classmethod
        def good(cls, name: str) -> str:
            tries.append(name)
            if len(tries) == 1:
                raise ValueError("not this one")
            return name

    city = client.chat.completions.create(model=MODEL, messages=ASK, response_model=Choosy, max_retries=2)
    return {"kind": type(city).__name__, "tries": len(tries)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main()))
