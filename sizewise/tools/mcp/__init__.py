"""The Model Context Protocol client: remote servers as tools, pinned by the hash of their description."""
