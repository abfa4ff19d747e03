"""What was asked and what was said, where the settings ask for it to be kept: sealed, for few, and not for long."""
