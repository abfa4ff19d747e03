"""How fast a batch is answered, and that each of its requests has one result when its server is killed."""
