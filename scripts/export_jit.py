#!/usr/bin/env python
"""Write the encoders of a published model folder as TorchScript, with the published flag."""

from __future__ import annotations

import argparse
from pathlib import Path

from sled.cli.main import guard


def main() -> None:
    """Export as the flags say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model_dir", type=Path, required=True, help="folder with flow.pt, llm.pt")
    folder = parser.parse_args().model_dir

    from sled.codec.flow.cosyvoice import CosyVoiceFlow
    from sled.codec.flow.files import load_encoder_flow
    from sled.codec.flow.torchscript import export_torchscript
    from sled.model.tokens.cosyvoice import CosyVoiceLM
    from sled.model.tokens.files import load_token_lm

    flow = load_encoder_flow(folder / "flow.pt")
    lm = load_token_lm(folder / "llm.pt") if isinstance(flow, CosyVoiceFlow) else None
    for path in export_torchscript(lm if isinstance(lm, CosyVoiceLM) else None, flow, folder):
        print(path)


if __name__ == "__main__":
    raise SystemExit(guard(main))
