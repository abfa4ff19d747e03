"""Bias: quality, refusals and the small model's share by group, for models and for the router; decides nothing."""
