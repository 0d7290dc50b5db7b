"""`python -m sled`: the command `sled`."""

from sled.cli.main import run_process

if __name__ == "__main__":
    run_process()
