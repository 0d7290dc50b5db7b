"""The command `sled`: one module for each subcommand, with `add_flags` and `run`."""
