"""Flow versions, and which of them is published in a project."""
