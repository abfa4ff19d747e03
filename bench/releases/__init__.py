"""How long a rollback takes, and how often a canary is rolled back for nothing; not imported by Sizewise."""
