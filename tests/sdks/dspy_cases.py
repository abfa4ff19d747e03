"""DSPy's ways to an answer and to vectors, run in a virtual environment of its own; prints each result."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import dspy

HERE: Any = {"api_base": f"{os.environ['SIZEWISE_URL']}/v1", "api_key": os.environ["SIZEWISE_KEY"]}
MODEL = f"openai/{os.environ['MODEL']}"
FIELDS = {"name": {"type": "string"}, "people": {"type": "integer"}}
SHAPE = {"name": "read", "schema": {"type": "object", "properties": FIELDS, "required": list(FIELDS)}}


class Read(dspy.Signature):  # type: ignore[misc]  # DSPy is in an environment of its own
    """Reads what a text says about a city."""

    text: str = dspy.InputField()
    name: str = dspy.OutputField()
    people: int = dspy.OutputField()


def main() -> dict[str, object]:
    plain = {"cache": False, "num_retries": 0}
    lms = {kind: dspy.LM(MODEL, model_type=kind, **HERE, **plain) for kind in ("chat", "text", "responses")}
    shaped = dspy.LM(MODEL, response_format={"type": "json_schema", "json_schema": SHAPE}, **HERE, **plain)
    with dspy.context(lm=shaped, adapter=dspy.JSONAdapter()):
        read = dspy.Predict(Read)(text="'Ulm' has 128000 people")
    vectors = dspy.Embedder(f"openai/{os.environ['VECTORS']}", caching=False, **HERE)(["one", "two", "one"])
    return {
        **{kind: _words(lm("one two three")[0]) for kind, lm in lms.items()},
        "tokens": lms["chat"].history[-1]["usage"]["total_tokens"],
        "signature": {"name": read.name, "people": read.people},
        "vectors": [len(vectors), bool((vectors[0] == vectors[2]).all()), bool((vectors[0] == vectors[1]).all())],
    }


def _words(answer: Any) -> str:
    return str(answer["text"] if isinstance(answer, dict) else answer)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main()))
