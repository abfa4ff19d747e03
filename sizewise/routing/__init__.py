"""Routing: chooses which model answers. Decisions do no I/O; only router, executor and attempt runner do."""
