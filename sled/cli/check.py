"""Compare this implementation with recorded outputs of another one ("goldens").

Recordings of parts that this package does not have are skipped. The last line is a summary as JSON.
The exit status is 1 if a case is not within tolerance.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

EXAMPLE = "sled check tests/goldens"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled check`."""
    parser.add_argument("folder", type=Path, help="folder of goldens, such as tests/goldens")


def run(args: argparse.Namespace) -> int:
    """Run every case; the exit status is 0 only if all are within tolerance."""
    from sled.evaluation.conformance import check_goldens

    results, skipped = [], 0
    for result in check_goldens(args.folder):
        if result.skipped:
            print(f"skip {result.name}", flush=True)
            skipped += 1
            continue
        verdict = "ok  " if result.passed else "FAIL"
        what = max(result.errors, key=lambda key: result.errors[key], default="nothing compared")
        details = "; ".join([what, *result.mismatches])
        print(f"{verdict} {result.name:40s} {result.worst:.2e}  {details}", flush=True)
        results.append(result)
    failed = [result.name for result in results if not result.passed]
    summary = {
        "cases": len(results),
        "passed": len(results) - len(failed),
        "failed": failed,
        "skipped": skipped,
        "worst_relative_error": max((result.worst for result in results), default=0.0),
    }
    print(json.dumps(summary))
    return 1 if failed or not results else 0
