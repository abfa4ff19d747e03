"""Copies the evals of OpenAI's API to Sizewise, and the items of their last runs to JSON lines; asks no model."""

from __future__ import annotations

import json
import os

import openai

there = openai.OpenAI()  # OPENAI_API_KEY
here = openai.OpenAI(
    base_url=os.environ.get("SIZEWISE_URL", "http://127.0.0.1:8080") + "/v1",
    api_key=os.environ["SIZEWISE_KEY"],
)

known = {each.name for each in here.evals.list(limit=100)}
for old in there.evals.list(limit=100):
    if old.name in known:
        print(f"{old.name}: known")
        continue
    config, schema = {"type": old.data_source_config.type}, getattr(old.data_source_config, "schema_", None)
    if config["type"] == "custom" and schema:
        parts = schema.get("properties", {})
        config |= {"item_schema": parts.get("item", {"type": "object"}), "include_sample_schema": "sample" in parts}
    criteria = [each.to_dict(exclude_none=True) for each in old.testing_criteria]
    try:
        new = here.evals.create(name=old.name, data_source_config=config, testing_criteria=criteria)
    except openai.BadRequestError as error:
        print(f"{old.name}: not copied: {error.body['message']}")
        continue
    print(f"{old.name}: {new.id}")
    for run in there.evals.runs.list(old.id, limit=1):
        items = there.evals.runs.output_items.list(run.id, eval_id=old.id, limit=100)
        with open(f"{new.id}.jsonl", "w") as file:
            rows = [file.write(json.dumps({"item": each.datasource_item}) + "\n") for each in items]
        print(f"  {len(rows)} items of its last run: {new.id}.jsonl")
        break
