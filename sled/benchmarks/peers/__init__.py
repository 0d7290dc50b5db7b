"""Other systems to compare with. Each file runs in the Python of that system, without `sled`."""
