"""Request records, metrics and the optional payload log."""
