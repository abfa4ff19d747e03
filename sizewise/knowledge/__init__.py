"""Knowledge bases: documents are parsed, chunked, embedded and stored, and searched within the caller's access."""
