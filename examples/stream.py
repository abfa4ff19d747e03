"""The answer while it is said; a held-back model's words come all at once, when they are trusted."""

from __future__ import annotations

import os

from openai import OpenAI

url = os.environ.get("SIZEWISE_URL", "http://127.0.0.1:8080")
client = OpenAI(base_url=f"{url}/v1", api_key=os.environ["SIZEWISE_KEY"])

stream = client.chat.completions.create(
    model="large",
    messages=[{"role": "user", "content": "Name three rivers."}],
    stream=True,
    stream_options={"include_usage": True},
)
for chunk in stream:
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
    if chunk.usage:
        print(f"\n{chunk.usage.completion_tokens} tokens")
