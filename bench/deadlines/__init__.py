"""Deadlines of a mixed load against a real server; nothing here is imported by Sizewise."""
