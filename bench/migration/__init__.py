"""The migration bench: real configurations of other gateways; nothing here is imported by Sizewise."""
