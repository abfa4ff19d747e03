"""The code sandbox: Python and JavaScript from flows run in a confined process without network or files."""
