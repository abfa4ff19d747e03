"""Find passages: documents are read, cut, embedded and kept; a question finds what its asker may see, with its place."""
