"""Load on a server from outside: callers who arrive at random, write, listen and are refused."""
