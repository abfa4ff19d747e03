"""Settings of other gateways, turned into a settings file of ours with a report on every line."""
