"""Alerts: rules over what was recorded, their states, silences, and the messages that receivers get."""
