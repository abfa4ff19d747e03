"""Figures, never pass or fail by time; nothing here is imported by Sizewise."""
