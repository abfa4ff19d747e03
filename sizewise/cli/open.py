"""`sizewise open`: creates a sign-in link on the server of this machine and opens it in the browser."""

from __future__ import annotations

import asyncio
import webbrowser

import click
import msgspec
from msgspec import Struct

from sizewise.cli.api_client import MAX_RESPONSE_BYTES, ApiClient, find_server, parse_error
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import write_json


class SignInLinkAnswer(Struct):
    """`expires`: unix ms."""

    url: str
    expires: int


@click.command("open")
@click.argument("path", default="")
@click.option("--print", "only_print", is_flag=True, help="Print the link, and open no browser.")
@local_options
def open_(path: str, only_print: bool) -> None:
    """Sign in with the browser, without a password.

    The link works once, within 15 minutes, and signs in the owner of this machine: create it on the machine of the
    server, as the user that runs it. PATH is the page to open, such as /play.

    \b
    Example: sizewise open
    """
    made = asyncio.run(_create_link(find_server(command_settings()), path))
    is_open = not (only_print or wants_json()) and _open_window(made.url)
    if wants_json():
        write_json({"url": made.url, "expires": made.expires})
    elif is_open:
        click.echo("The browser signs in. If it does not open: sizewise open --print")
    else:
        click.echo(made.url)


async def _create_link(client: ApiClient, path: str) -> SignInLinkAnswer:
    async with client.post("/auth/link", {"to": path}) as response:
        body = await response.read(MAX_RESPONSE_BYTES)
        if response.status != 200:
            raise parse_error(response.status, body)
    return msgspec.json.decode(body, type=SignInLinkAnswer)


def _open_window(url: str) -> bool:
    """False if there is no browser with a window: one in the terminal could not run scripts."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    return type(browser) is not webbrowser.GenericBrowser and browser.open(url)
