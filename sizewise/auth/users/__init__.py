"""Who the people are and what each may now: tables, standing, passwords; knows no key and no door."""
