"""Things a model may call: our own typed functions, other servers' tools over MCP, and code in a sandbox."""
