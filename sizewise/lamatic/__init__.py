"""Import and export of Lamatic flows; text in, text out, and no imported code is ever run."""
