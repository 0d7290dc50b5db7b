#!/usr/bin/env python
"""Check this implementation against a folder of recorded outputs of another one."""

import argparse
import json
from pathlib import Path

from sled.cli.speaking import run_main
from sled.evaluation.conformance import check_goldens


def main(argv: list[str] | None = None) -> None:
    """Run every case; exit status 0 only if all are within tolerance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of goldens, such as tests/goldens")
    args = parser.parse_args(argv)
    results = []
    for result in check_goldens(args.folder):
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
        "worst_relative_error": max((result.worst for result in results), default=0.0),
    }
    print(json.dumps(summary))
    if failed or not results:
        raise SystemExit(1)


if __name__ == "__main__":
    run_main(main)
