"""Releases: what a project answers with (flows, prompts, policies, agents, ...) under one hash."""
