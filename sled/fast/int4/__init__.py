"""Weights in four bits: how they are rounded, and the file that holds them beside a checkpoint."""

from sled.fast.int4.file import INT4_FILE, read_int4, write_int4
from sled.fast.int4.matrix import Int4Matrix
from sled.fast.int4.rounding import GROUP, round_layers

__all__ = ["GROUP", "INT4_FILE", "Int4Matrix", "read_int4", "round_layers", "write_int4"]
