"""Evaluation: recorded outcomes, calibration, replay, shadow traffic and quality monitoring."""
