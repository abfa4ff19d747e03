"""Guardrails: scan prompts and replies. Guards report findings; pipeline and middleware decide what to do.

Read base.py first, then middleware.py (the whole request, before routing) and masking.py (each attempt, by the model's
place).
"""
