"""The composition root: settings and long-lived resources -> one immutable application that answers requests."""
