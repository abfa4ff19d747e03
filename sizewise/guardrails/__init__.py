"""Guardrails: what may stand in a prompt or a reply. Each guard finds; pipeline and middleware decide.

Read guard.py first, then inspected.py (the whole request, before routing) and masked.py (each attempt, by its place).
"""
