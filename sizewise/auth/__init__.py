"""Who asks, and what they may do; only hashes of keys are kept."""
