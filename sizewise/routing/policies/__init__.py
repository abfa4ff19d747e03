"""Routing policies: each yields moves and does no I/O. Policies do not know each other."""
