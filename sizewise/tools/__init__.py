"""Tools that a model can call: typed functions, tools of MCP servers, and code in a sandbox."""
