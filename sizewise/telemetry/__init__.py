"""What happened: every request written down and counted; no prompt and no reply, only counts and decisions."""
