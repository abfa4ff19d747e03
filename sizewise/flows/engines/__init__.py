"""Who calls a run's runner: in this process only, or durably."""
