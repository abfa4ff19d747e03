"""What a Worker costs in raw workerd: size, cold start, milliseconds; not imported by Sizewise."""
