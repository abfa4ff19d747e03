"""Evals of the API (`/v1/evals`): definitions, graders, runs and their results, stored encrypted per project."""
