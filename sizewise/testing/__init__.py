"""What we test with, shipped, so that authors of plug-ins and clients test as we do."""
