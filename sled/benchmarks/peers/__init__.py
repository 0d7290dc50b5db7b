"""Other systems to compare with.

`in_turns` runs them; each other file runs in the Python of its system, without `sled`.
"""
