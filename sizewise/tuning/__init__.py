"""Tuning: a small model is trained on examples of one task, as an adapter, and judged before it answers."""
