"""Makes what the small recipe starts from: LibriTTS folders, and networks with random weights.

Usage: python small.py CORPUS, in the folder of the run.
"""

import sys
from pathlib import Path

import soundfile
import torch
from lhotse import load_manifest_lazy
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM

from sled.codec.speaker.network import SpeakerNetwork, SpeakerSizes

SPEAKER = 1
QWEN2 = Qwen2Config(
    vocab_size=384,
    hidden_size=256,
    intermediate_size=704,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=2048,
    rope_theta=1e6,
)
SPEAKER_ENCODER = SpeakerSizes(growth_rate=4, init_channels=16, block_layers=(1, 1, 1))


def write_libritts(manifest: Path, folder: Path) -> None:
    """Write the recordings and texts of a manifest as one chapter of LibriTTS."""
    chapter = folder / str(SPEAKER) / "1"
    chapter.mkdir(parents=True, exist_ok=True)
    for number, cut in enumerate(load_manifest_lazy(manifest)):
        name = f"{SPEAKER}_1_{number:06d}_000000"
        soundfile.write(chapter / f"{name}.wav", cut.load_audio()[0], cut.sampling_rate)
        text = cut.supervisions[0].text
        (chapter / f"{name}.normalized.txt").write_text(text, encoding="utf-8")


def main(corpus: Path) -> None:
    """Make them of a corpus of digits."""
    for part in ("train", "valid", "test"):
        write_libritts(corpus / f"cuts_{part}.jsonl.gz", Path("LibriTTS") / part)
    torch.manual_seed(0)
    Qwen2ForCausalLM(QWEN2).save_pretrained("pretrained/CosyVoice-BlankEN")
    encoder = SpeakerNetwork(SPEAKER_ENCODER).eval()
    save_file(encoder.state_dict(), Path("pretrained/campplus.safetensors"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
