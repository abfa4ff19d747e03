"""How well local models call tools."""
