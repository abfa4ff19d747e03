"""Others' flows, run by the Python that has their library: each line of JSON says what to walk, one answers it."""
