"""Answers given a second time: to the same idempotency key, and, where it is wished, to the same question."""
