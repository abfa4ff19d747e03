"""`auto` with wishes: confidential data stays on this machine; the headers say who answered, why and at what cost."""

from __future__ import annotations

import os

from openai import OpenAI

url = os.environ.get("SIZEWISE_URL", "http://127.0.0.1:8080")
client = OpenAI(base_url=f"{url}/v1", api_key=os.environ["SIZEWISE_KEY"])

raw = client.chat.completions.with_raw_response.create(
    model="auto",
    messages=[{"role": "user", "content": "Name three rivers."}],
    extra_headers={"x-sizewise-data-class": "confidential", "x-sizewise-max-ms": "60000"},
)
print(raw.parse().choices[0].message.content)
for name in ("model", "why", "cost-usd", "attempts", "trace"):
    print(f"{name:9}", raw.headers.get(f"x-sizewise-{name}", "-"))
