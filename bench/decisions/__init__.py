"""Bench of decisions: how much a certified ladder serves on real intents, and how often its certificate is broken."""
