"""A server of the official SDK, for tests: `python tests/mcp/official_sdk_server.py stdio`, or `http PORT`."""

from __future__ import annotations

import os
import sys

from mcp.server.mcpserver import MCPServer

server = MCPServer("official")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def breaks() -> str:
    """Always fails."""
    raise ValueError("no such luck")


@server.tool()
def environment() -> list[str]:
    """The names of its environment."""
    return sorted(os.environ)


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http", port=int(sys.argv[2]))
