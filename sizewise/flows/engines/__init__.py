"""Execution engines for flow runs: in process, or durable on DBOS."""
