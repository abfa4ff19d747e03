"""How long a rollback takes on two servers that share a Postgres; nothing here is imported by Sizewise."""
