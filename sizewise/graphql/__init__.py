"""The GraphQL API for everything but model calls, used by the CLI, automation and the studio."""
