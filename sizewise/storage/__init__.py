"""Storage: the database, batch writes, retention, encryption at rest and key rotation."""
