"""Scores: named judgements on what was answered, by people, judges and code."""
