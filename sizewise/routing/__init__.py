"""Which model answers: judgement without I/O; only route.py, with asking.py, performs what was decided."""
