"""A server of the official SDK with a tool that searches three tickets, for tests; it is started on stdio."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer

TICKETS = {101: "The brakes squeal in the rain.", 102: "The display stays dark.", 103: "An invoice is missing."}

server = MCPServer("tickets")


@server.tool()
def search_open(word: str) -> list[str]:
    """Finds open tickets that contain a word, such as "invoice"."""
    return [f"ticket {number}: {text}" for number, text in TICKETS.items() if word.lower() in text.lower()]


if __name__ == "__main__":
    server.run("stdio")
