"""Authentication and authorization: API keys, users, sessions, roles and key scopes; stores no secrets."""
