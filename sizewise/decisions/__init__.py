"""Decisions: questions with a closed set of answers, and the ladder of small rungs that is certified to answer them."""
