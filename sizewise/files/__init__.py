"""Uploaded files of a project, stored encrypted in the database until they are deleted or expire."""
