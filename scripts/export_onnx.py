#!/usr/bin/env python
"""Write the estimator of the flow in a published folder as ONNX, and the vocoder, if it has one."""

from __future__ import annotations

import argparse
from pathlib import Path

from sled.cli.main import guard


def main() -> None:
    """Export as the flags say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model_dir", type=Path, required=True, help="folder with flow.pt")
    folder = parser.parse_args().model_dir

    from sled.codec.flow.export import PUBLISHED_NAME, export_estimator
    from sled.codec.flow.files import load_encoder_flow
    from sled.codec.token_codec import PUBLISHED_VOCODER
    from sled.codec.vocoder.export import FILE_NAME, export_vocoder
    from sled.codec.vocoder.files import load_vocoder

    path = folder / PUBLISHED_NAME
    worst = export_estimator(load_encoder_flow(folder / "flow.pt"), path)
    print(f"{path}: differs from the network by at most {worst:.1e}")
    if (folder / PUBLISHED_VOCODER).is_file():
        path = folder / FILE_NAME
        worst = export_vocoder(load_vocoder(folder / PUBLISHED_VOCODER), path)
        print(f"{path}: differs from the network by at most {worst:.1e}")


if __name__ == "__main__":
    raise SystemExit(guard(main))
