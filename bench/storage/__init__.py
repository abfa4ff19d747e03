"""What records cost on disk, and what reads and deletes of millions of them cost beside it."""
