"""Agents: a model in a loop with tools, within limits, and with an optional memory."""
