"""The escalation proof: fifty questions committed beforehand, asked of the cascade and of both models alone."""
