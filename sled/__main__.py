"""`python -m sled`: the command `sled`."""

from sled.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
