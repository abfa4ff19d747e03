"""Where passages live: a store a file, each the only importer of its library; none knows another, or any word."""
