"""The keys that seal what is kept: one a tenant, themselves wrapped by a key from outside, and by whom."""
