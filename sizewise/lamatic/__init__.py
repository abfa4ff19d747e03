"""Flows as others write them into ours, and back: texts in, texts out; nothing of an imported file is ever run."""
