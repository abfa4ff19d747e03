"""Backup and restore of a home folder as one file; calls no server."""
