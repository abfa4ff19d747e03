"""Who did what to which thing, before and after: one chain of lines for each organisation."""
