"""Sizewise answers each request with the smallest model that keeps a promise, and proves it."""

__version__ = "0.1.0"
