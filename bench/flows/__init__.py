"""What a flow costs beside its nodes' own work."""
