"""The codec of speech tokens: a flow makes a mel spectrogram of tokens, a vocoder makes sound."""

from pathlib import Path

MODEL_TYPE = "speech_token_codec"
PUBLISHED_FLOW, PUBLISHED_VOCODER = "flow.pt", "hift.pt"


def is_published_folder(name_or_path: str | Path) -> bool:
    """Whether a folder has a published flow and vocoder."""
    folder = Path(name_or_path).expanduser()
    return all((folder / name).is_file() for name in (PUBLISHED_FLOW, PUBLISHED_VOCODER))
