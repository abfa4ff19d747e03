"""The check of `sizewise doctor` for the search engine of [web_search]: its key, and whether it can be reached."""

from __future__ import annotations

from sizewise.cli.doctor_checks import CheckResult
from sizewise.errors import SizewiseError
from sizewise.http.client import HttpClient, HttpTimeouts
from sizewise.http.egress import EgressPolicy
from sizewise.settings.load import Settings, resolve_secret
from sizewise.web_search.search_engines import ENGINES

CHECK = "web search"
TIMEOUTS = HttpTimeouts(total=5.0)


async def check_web_search(settings: Settings) -> list[CheckResult]:
    """None if nothing is configured. Sends no query: any answer counts."""
    found = settings.web_search
    granted = sorted(name for name, each in settings.projects.items() if each.web_search != "deny")
    if not found.url:
        if not granted:
            return []
        message = f"the project {granted[0]!r} may search the web, but [web_search] names no engine"
        return [CheckResult(CHECK, False, message, "set `url` in [web_search] of sizewise.toml")]
    if ENGINES[found.engine].key_header and not found.key:
        return [CheckResult(CHECK, False, f"{found.engine} needs a key", 'set key = "env:NAME" in [web_search]')]
    try:
        if found.key:
            resolve_secret(found.key)
        await _reach(settings)
    except SizewiseError as error:
        return [CheckResult(CHECK, False, error.message, error.hint or "see `url` in [web_search]")]
    users = f"for {', '.join(granted)}" if granted else "but no project may use it: see `web_search` in [projects.NAME]"
    return [CheckResult(CHECK, True, f"{found.engine} at {found.url} can be reached, {users}")]


async def _reach(settings: Settings) -> None:
    egress = EgressPolicy({settings.web_search.url: settings.web_search.place}, {"public": "anyone"})
    async with HttpClient(egress, proxies=settings.proxies, ca_file=settings.ca_file) as client:
        endpoint = client.endpoint(settings.web_search.url)
        request = endpoint.request("HEAD", "/", purpose="doctor", data_class="public", timeouts=TIMEOUTS)
        async with await request:
            pass
