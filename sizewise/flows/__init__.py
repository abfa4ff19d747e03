"""Graphs of steps as data: checked before they run, run durably one step a node, reached through every door."""
