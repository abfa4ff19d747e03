"""Others' stores, each run by the Python that has it: reads the passages of a folder, prints its row as JSON."""
