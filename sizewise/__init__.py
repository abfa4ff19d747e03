"""Sizewise is an AI gateway that routes each request to the cheapest model that meets a quality target."""

__version__ = "0.1.0"
