"""What routing is worth on recorded outcomes: everyone's curves, the promise's validity, and where it does not help."""
