"""What may stand in a prompt or a reply, one guard a file: each finds, none decides; deciding and masking stand beside.

Read guard.py first, then inspected.py (the whole request, before routing) and masked.py (each attempt, by its place).
"""
