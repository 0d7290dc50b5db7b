"""Writes the table and the picture of the variants that are done: table.py RUN [COUNTS ...].

RUN is the folder of a run. COUNTS are files results.json of other runs, with other seeds, which are
added. The counts of all are written to results.json in RUN, table and picture beside it.
"""

import sys
from pathlib import Path

from sled.evaluation.pooled import write_report
from sled.training.checkpoints.saving import finished_steps

if __name__ == "__main__":
    run, *others = map(Path, sys.argv[1:])
    print(
        write_report(
            run,
            others,
            compared_with="energy-2",
            steps_of=lambda name, seed: finished_steps(run / "models" / f"{name}-{seed}"),
        )
    )
