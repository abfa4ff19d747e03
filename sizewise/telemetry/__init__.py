"""Request records, metrics, outbound webhooks and the optional payload log."""
