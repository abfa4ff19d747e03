"""Drafts of flows: one per person and flow, encrypted, never published by themselves."""
