"""Web search by a project's grant: search engines, pages of declared sites, and their texts as untrusted content."""
