"""Chat widgets: one flow or policy on other people's pages, for anonymous visitors, within limits."""
