"""One question with the OpenAI SDK: only base_url and key are ours."""

from __future__ import annotations

import os

from openai import OpenAI

url = os.environ.get("SIZEWISE_URL", "http://127.0.0.1:8080")
client = OpenAI(base_url=f"{url}/v1", api_key=os.environ["SIZEWISE_KEY"])

answer = client.chat.completions.create(
    model="auto",
    messages=[{"role": "user", "content": "Name three rivers."}],
)
print(answer.choices[0].message.content)
