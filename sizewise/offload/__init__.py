"""Offloading: work on long inputs leaves the event loop, for a thread or for a process of its own; knows no work."""
