"""Edge: a release compiled to data for a Cloudflare Worker, and the prebuilt runtime that answers with it."""
