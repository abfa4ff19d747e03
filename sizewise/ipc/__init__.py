"""Inter-process communication: the typed protocol between the store process and the gateway workers of one server."""
