"""The subcommands of `sled bench`: their flags, read without the libraries that measure."""
