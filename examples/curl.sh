#!/usr/bin/env bash
# No SDK at all; -i shows the headers that say who answered and why.
set -euo pipefail

curl -sS -i --fail-with-body "${SIZEWISE_URL:-http://127.0.0.1:8080}/v1/chat/completions" \
  -H "Authorization: Bearer $SIZEWISE_KEY" \
  -H "Content-Type: application/json" \
  -d '{"model": "auto", "messages": [{"role": "user", "content": "Name three rivers."}]}'
