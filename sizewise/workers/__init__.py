"""Several processes for one server: a supervisor, gateway workers and a store process."""
