"""Flows: graphs of nodes written as YAML, validated before they run and executed durably, one step per node."""
