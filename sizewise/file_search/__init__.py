"""Vector stores of the API: knowledge bases with a name, an expiry and the uploaded files that are in them."""
