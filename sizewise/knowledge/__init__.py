"""Find passages: documents are read, cut, embedded, kept; a question finds what its asker may see, with its place."""
