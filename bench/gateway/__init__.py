"""The gateway bench: Sizewise and its peers on one core, one table; nothing here is imported by Sizewise."""
