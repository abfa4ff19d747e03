"""Wire formats: pure functions between a vendor's bytes and our messages."""
