"""Notifications: messages in an outbox of the database, and their delivery to webhooks and other receivers."""
