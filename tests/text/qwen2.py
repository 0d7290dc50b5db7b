"""Tokenizers of Qwen2's form, made on the spot."""

import json
from functools import cache
from pathlib import Path

from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.normalizers import NFC
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.trainers import BpeTrainer

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LINES = (
    "It was silent and gloomy, being tenanted solely by the captive; they're sure he'll stay.",
    "four two seven one nine (they'd said) \"hadn't they?\" we've 350 left!! naïve café [laughs]",
    "今天天气很好，我们散步。 aaaaaaaa abababab '''' !!!! ((((",
)


def write_qwen2_tokenizer(folder: Path, size: int = 400) -> Path:
    """Write the files that a published folder has: no `tokenizer.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    Tokenizer.from_str(_trained(size)).model.save(str(folder))
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    listed = {
        str(number): {"content": token, "special": True, "normalized": False}
        for number, token in enumerate(SPECIAL, len(vocabulary))
    }
    settings = {"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": listed}
    settings |= {"eos_token": SPECIAL[0], "pad_token": SPECIAL[0], "model_max_length": 32768}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@cache
def _trained(size: int) -> str:
    tokenizer = Tokenizer(BPE())
    tokenizer.normalizer = NFC()
    byte_level = ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = Sequence([Split(Regex(PATTERN), "isolated"), byte_level])
    trainer = BpeTrainer(
        vocab_size=size, initial_alphabet=ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(LINES * 3, trainer)
    return tokenizer.to_str()
