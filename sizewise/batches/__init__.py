"""Batches of the API (`/v1/batches`): the requests of a file, answered one by one into result files, per project."""
