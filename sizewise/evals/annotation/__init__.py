"""Annotation queues: answers that people label without seeing who gave them, for calibrating judges."""
