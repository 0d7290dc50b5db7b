"""Writes the table and the picture of all variants that are done: table.py RUN."""

import sys
from pathlib import Path

from sled.evaluation.pooled import draw_variants, pool_variants, pooled_table

if __name__ == "__main__":
    run = Path(sys.argv[1])
    variants = pool_variants(run / "results", "energy-2")
    (run / "results.md").write_text(pooled_table(variants), encoding="utf-8")
    (run / "results.svg").write_text(draw_variants(variants), encoding="utf-8")
    print((run / "results.md").read_text(encoding="utf-8"))
