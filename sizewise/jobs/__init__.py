"""Jobs: work of minutes, cut into batches: one function runs them, here or in processes; knows none of the work."""
