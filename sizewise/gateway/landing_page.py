"""Landing page at / for browsers; static, without scripts or assets."""

from __future__ import annotations

from sizewise import __version__
from sizewise.app.application import Application
from sizewise.gateway.request_context import RequestHead, ResponseWriter

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Sizewise</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.6 system-ui, sans-serif }}
body {{ max-width: 48rem; margin: 12vh auto; padding: 0 1.5rem }}
h1 {{ font-weight: 600; letter-spacing: -.02em; margin-bottom: 0 }}
p.lead {{ margin-top: .2rem; opacity: .75 }}
pre, code {{ font: 14px/1.5 ui-monospace, monospace }}
pre {{ padding: 1rem; border: 1px solid #8884; border-radius: .5rem; overflow-x: auto }}
td {{ padding: .15rem 1.5rem .15rem 0; vertical-align: top }}
</style></head><body>
<h1>Sizewise</h1>
<p class="lead">One API that answers with the smallest language model that is good enough. Version {version}.</p>
<pre>curl {url}/v1/chat/completions \\
  -H "Authorization: Bearer $SIZEWISE_KEY" -H "Content-Type: application/json" \\
  -d '{{"model": "auto", "messages": [{{"role": "user", "content": "Hello!"}}]}}'</pre>
<table>
<tr><td><code>POST /v1/chat/completions</code></td><td>OpenAI's Chat Completions, with streaming</td></tr>
<tr><td><code>POST /v1/responses</code></td><td>OpenAI's Responses, with streaming and storage</td></tr>
<tr><td><code>POST /v1/messages</code></td><td>Anthropic's Messages, with streaming</td></tr>
<tr><td><code>POST /v1/completions</code></td><td>OpenAI's text completions, with streaming</td></tr>
<tr><td><code>POST /v1/moderations</code></td><td>OpenAI's moderations, by the guardrails</td></tr>
<tr><td><code>POST /v1/audio/speech</code></td><td>OpenAI's Speech, with streaming</td></tr>
<tr><td><code>POST /v1/audio/transcriptions</code></td><td>OpenAI's Transcriptions and translations</td></tr>
<tr><td><code>POST /v1/images/generations</code></td><td>OpenAI's Images, edits and variations</td></tr>
<tr><td><code>POST /v1/embeddings</code></td><td>OpenAI's Embeddings</td></tr>
<tr><td><code>POST /v1/rerank</code></td><td>ranks documents by relevance</td></tr>
<tr><td><code>POST /v1/files</code></td><td>OpenAI's Files, stored encrypted</td></tr>
<tr><td><code>POST /v1/vector_stores</code></td><td>OpenAI's Vector stores, on knowledge bases</td></tr>
<tr><td><code>GET /v1/models</code></td><td>models that your key can use</td></tr>
<tr><td><code>POST /graphql</code></td><td>queries and management: models, records, keys, flows</td></tr>
<tr><td><code>GET <a href="/healthz">/healthz</a> <a href="/readyz">/readyz</a> /metrics</code></td>
<td>liveness, readiness, metrics</td></tr>
<tr><td><code>GET <a href="/openapi.json">/openapi.json</a></code></td><td>OpenAPI document</td></tr>
</table>
</body></html>
"""

HTML_CONTENT_TYPE = (b"content-type", b"text/html; charset=utf-8")
CONTENT_SECURITY_POLICY = (
    b"content-security-policy",
    b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)
NO_REFERRER = (b"referrer-policy", b"no-referrer")


async def landing_page(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    await writer.send_response(
        200,
        [HTML_CONTENT_TYPE, CONTENT_SECURITY_POLICY, NO_REFERRER],
        _PAGE.format(version=__version__, url=app.settings.server.url).encode(),
    )
