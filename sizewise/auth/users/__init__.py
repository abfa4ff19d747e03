"""Users, memberships, invitations, passwords and effective roles; knows neither API keys nor HTTP."""
