"""`sizewise eval comment`: writes a report as the one comment of a pull request, or updates it in place."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from sizewise.cli.eval_report import MARKER
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import write_json
from sizewise.errors import BadRequest, ExternalFailure
from sizewise.http.client import HttpClient, HttpTimeouts
from sizewise.http.egress import EgressPolicy
from sizewise.settings.load import Settings, resolve_secret

API = "https://api.github.com"
TOKEN = "env:GITHUB_TOKEN"
TIMEOUTS = HttpTimeouts(total=30.0)
PAGE_SIZE = 100
MAX_PAGES = 30
"""Of comments: more than GitHub shows on one page of a pull request."""
MAX_BYTES = 32 * 1024 * 1024
MAX_COMMENT_CHARS = 60_000
"""GitHub takes 65,536."""
DENIED = (401, 403, 404)
"""The token may not write: that of a fork's pull request never may."""


class _User(Struct):
    type: str = ""


class _Comment(Struct):
    id: int
    body: str | None = ""
    user: _User | None = None


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--repo", metavar="OWNER/NAME", required=True, help="Repository of the pull request.")
@click.option("--pull", type=click.IntRange(min=1), required=True, help="Number of the pull request.")
@click.option("--api", metavar="URL", default=API, help=f"URL of the API. [{API}]")
@click.option("--token", metavar="REF", default=TOKEN, help=f"Reference to the token. [{TOKEN}]")
@local_options
def comment(file: Path, repo: str, pull: int, api: str, token: str) -> int:
    """Write or update the one comment of a pull request.

    It is found by its first line. A token that may not write, as in a fork's pull request, is reported and is no error.

    \b
    Example: sizewise eval comment comment.md --repo acme/support --pull 12
    """
    text = file.read_text("utf-8")
    if not text.startswith(MARKER):
        raise BadRequest(f"{str(file)!r} is no comment of Sizewise", "write one: sizewise eval ci --markdown FILE")
    if repo.count("/") != 1 or not all(each.isalnum() or each in "-_./" for each in repo):
        raise BadRequest(f"{repo!r} is no repository", "write it as OWNER/NAME")
    thread = _Thread(command_settings(), api.rstrip("/"), repo, resolve_secret(token))
    done = asyncio.run(thread.write(pull, text[:MAX_COMMENT_CHARS]))
    if wants_json():
        write_json({"repo": repo, "pull": pull, "done": done})
    else:
        click.echo({"denied": "the token may not write comments: nothing was written"}.get(done, f"comment {done}"))
    return 0


class _Thread:
    """Comments of pull requests of one repository."""

    def __init__(self, settings: Settings, api: str, repo: str, token: str) -> None:
        self._settings, self._api, self._repo, self._token = settings, api, repo, token

    async def write(self, pull: int, text: str) -> str:
        """`created`, `updated` or `denied`. Raises ExternalFailure."""
        egress = EgressPolicy({self._api: "anyone"}, {"public": "anyone"})
        proxies, ca_file = self._settings.proxies, self._settings.ca_file
        async with HttpClient(egress, proxies=proxies, ca_file=ca_file) as client:
            found = await self._find(client, pull)
            body = msgspec.json.encode({"body": text})
            issues = f"/repos/{self._repo}/issues"
            if found is None:
                status, _ = await self._request(client, "POST", f"{issues}/{pull}/comments", body)
            else:
                status, _ = await self._request(client, "PATCH", f"{issues}/comments/{found}", body)
        if status in DENIED:
            return "denied"
        if status not in (200, 201):
            raise ExternalFailure(f"{self._api} answered with status {status}", "try again; see GitHub's status page")
        return "created" if found is None else "updated"

    async def _find(self, client: HttpClient, pull: int) -> int | None:
        """Ours is a bot's: a person who copies the first line is left alone."""
        for page in range(1, MAX_PAGES + 1):
            path = f"/repos/{self._repo}/issues/{pull}/comments?per_page={PAGE_SIZE}&page={page}"
            status, raw = await self._request(client, "GET", path)
            if status != 200:
                raise ExternalFailure(f"comments cannot be read: status {status}", "check --repo, --pull and the token")
            comments = msgspec.json.decode(raw, type=list[_Comment])
            for each in comments:
                if (each.body or "").startswith(MARKER) and each.user is not None and each.user.type == "Bot":
                    return each.id
            if len(comments) < PAGE_SIZE:
                return None
        return None

    async def _request(self, client: HttpClient, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        headers = [
            ("authorization", f"Bearer {self._token}"),
            ("accept", "application/vnd.github+json"),
            ("user-agent", "sizewise"),
            *([("content-type", "application/json")] if body else []),
        ]
        request = client.endpoint(self._api).request(
            method, path, body, headers, purpose="pull-request comments", data_class="public", timeouts=TIMEOUTS
        )
        async with await request as response:
            return response.status, await response.read(MAX_BYTES)
