"""Which model answers: judgement without I/O; only route.py performs what was decided."""
