"""Settings: one frozen dataclass per section, each default next to its description."""
