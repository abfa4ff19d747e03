"""The scale bench: one and two gateway workers in one run; nothing here is imported by Sizewise."""
