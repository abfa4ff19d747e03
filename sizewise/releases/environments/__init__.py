"""Environments: which release is live in each, and how that came about."""
