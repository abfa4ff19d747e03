"""Bench of tuning: a 135M model before and after it learned one task, and beside a 1.5B."""
