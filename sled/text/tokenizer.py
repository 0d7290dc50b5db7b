"""Text to tokens: byte-level BPE in the published form, `vocab.json` and `merges.txt`."""

import os
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from sled.bundled import tokenizer_folder
from sled.files.hub import hub_file, is_hub_name
from sled.normalization import max_bytes, normalize, open_normalizer

BOS_ID, PAD_ID, EOS_ID, UNK_ID = range(4)
SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")  # in the order of their ids
MIN_VOCAB_SIZE = len(SPECIAL_TOKENS) + 256  # every byte is a token, so any text can be written

_SPACE = "\u0120"  # the character that stands for a space in a spelling

VOCAB_FILE, MERGES_FILE = "vocab.json", "merges.txt"


def normalize_spaces(text: str) -> str:
    """Replace white space by single spaces, with none at either end."""
    return " ".join(text.split())


class TextTokenizer:
    """Byte-level BPE with `<s>` and `</s>` around every text.

    Text is always plain text: a typed "</s>" becomes the tokens of its four characters, never the
    special token. `decode(encode(text))` returns `normalize(text)`, for any Unicode string.

    Args:
        model: The vocabulary and the merges.
        normalization: How texts are normalised first, see `sled.normalization`. None: not at all.
        bos_id: The id before every text. None: there is none.
        eos_id: The id after every text.

    Raises:
        ValueError: The special tokens do not have ids 0 to 3, or there is no such normalisation.
    """

    pad_id, unk_id = PAD_ID, UNK_ID

    def __init__(
        self,
        model: BPE,
        normalization: str | None = None,
        bos_id: int | None = BOS_ID,
        eos_id: int = EOS_ID,
    ) -> None:
        open_normalizer(normalization)  # raises for an unknown one
        self.normalization = normalization
        self.bos_id, self.eos_id = bos_id, eos_id
        # The special tokens are not registered with the Tokenizer, which would find them in text.
        self._tokenizer = Tokenizer(model)
        self._tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
        self._tokenizer.decoder = ByteLevelDecoder()
        for special_id, token in enumerate(SPECIAL_TOKENS):
            found = self._tokenizer.token_to_id(token)
            if found != special_id:
                raise ValueError(
                    f"vocabulary has {token} at {found}, not {special_id}: it does not have the "
                    "published form; train one with sled tokenizer"
                )

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        normalization: str | None = None,
        bos_id: int | None = BOS_ID,
        eos_id: int = EOS_ID,
    ) -> "TextTokenizer":
        """Load the tokenizer of a checkpoint.

        Args:
            name_or_path: A folder with vocab.json and merges.txt, a bundled model, or the name of a
                repository on the Hugging Face hub with these files.
            normalization: As in the checkpoint's configuration.
            bos_id: As there.
            eos_id: As there.

        Raises:
            ValueError: The files do not exist or are not a tokenizer.
        """
        folder = Path(tokenizer_folder(os.fspath(name_or_path)))
        if folder.is_dir():
            files = [folder / VOCAB_FILE, folder / MERGES_FILE]
            missing = [file.name for file in files if not file.is_file()]
            if missing:
                raise ValueError(
                    f"{folder} lacks {' and '.join(missing)}: "
                    "name a checkpoint or tokenizer folder that holds both"
                )
        else:
            if not is_hub_name(folder):
                raise ValueError(
                    f"no tokenizer at {folder}: name a folder, a bundled model, or a hub name "
                    "OWNER/NAME, that holds vocab.json and merges.txt"
                )
            try:
                files = [hub_file(str(name_or_path), file) for file in (VOCAB_FILE, MERGES_FILE)]
            except ValueError as error:
                raise ValueError(f"no tokenizer {name_or_path}: {error}") from error
        try:
            model = BPE.from_file(str(files[0]), str(files[1]))
        except Exception as error:  # tokenizers raises bare Exception
            raise ValueError(
                f"{files[0].parent} holds no readable tokenizer ({error}): copy "
                "vocab.json and merges.txt again"
            ) from error
        return cls(model, normalization, bos_id, eos_id)

    @classmethod
    def train(
        cls,
        lines: Iterable[str],
        vocab_size: int,
        min_frequency: int = 2,
        normalization: str | None = None,
    ) -> "TextTokenizer":
        """Learn merges from text.

        Args:
            lines: Sentences.
            vocab_size: Maximum number of entries, the 4 special tokens and 256 bytes included.
            min_frequency: How often a pair must occur to be merged.
            normalization: How the sentences are normalised first.

        Raises:
            ValueError: The size is too small for the bytes, or there is no text.
        """
        if vocab_size < MIN_VOCAB_SIZE:
            raise ValueError(
                f"vocab_size={vocab_size} is too small: special tokens and bytes alone "
                f"take {MIN_VOCAB_SIZE}"
            )
        sentences = [normalize(line, normalization) for line in lines if line.strip()]
        if not sentences:
            raise ValueError("no text to train a tokenizer on: every line is blank")
        tokenizer = Tokenizer(BPE())
        tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
        trainer = BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=min_frequency,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(sentences, trainer)
        return cls(tokenizer.model, normalization)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write vocab.json and merges.txt into a folder, which is created if it does not exist."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._tokenizer.model.save(str(folder))

    @property
    def vocab_size(self) -> int:
        """Number of entries, special tokens included."""
        return self._tokenizer.get_vocab_size()

    def normalize(self, text: str) -> str:
        """Normalise a text as the tokenizer does; without a normalisation, return it unchanged."""
        if self.normalization is None:
            return text
        return normalize_spaces(normalize(text, self.normalization))

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, normalised, between those of `begin` and `end`."""
        return [*self.begin, *self._tokenizer.encode(self.normalize(text)).ids, *self.end]

    @property
    def begin(self) -> list[int]:
        """The ids before every text."""
        return [] if self.bos_id is None else [self.bos_id]

    @property
    def end(self) -> list[int]:
        """The ids after every text."""
        return [self.eos_id]

    def count(self, text: str) -> int:
        """Number of tokens of a text, without `<s>` and `</s>`."""
        return len(self.encode(text)) - len(self.begin + self.end)

    def max_count(self, text: str) -> int:
        """An upper bound of `count`, which is much faster to compute."""
        return max_bytes(text, self.normalization)

    def token_ends(self, text: str) -> list[int]:
        """Where each token ends in a text that is already normalised; no special tokens."""
        return [end for _, end in self._tokenizer.encode(text).offsets]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids; special tokens are left out."""
        return self._tokenizer.decode([i for i in ids if len(SPECIAL_TOKENS) <= i != self.eos_id])

    def num_bytes(self, token: int) -> int:
        """The bytes that a token stands for, without spaces; 0 for a special token."""
        if token < len(SPECIAL_TOKENS):
            return 0
        spelling = self._tokenizer.id_to_token(token)
        return 0 if spelling is None else len(spelling) - spelling.count(_SPACE)

    def words(self, text: str) -> list[tuple[str, int]]:
        """Split a text that is already normalised into the words that are encoded one by one.

        Returns:
            For each word its spelling, which has a printable character for each UTF-8 byte, and
            where in the text it ends.
        """
        words = self._tokenizer.pre_tokenizer.pre_tokenize_str(text)
        return [(spelling, end) for spelling, (_, end) in words]

    def encode_word(self, spelling: str) -> list[tuple[int, str]]:
        """The ids of the tokens of a word, each with its part of the spelling."""
        return [(token.id, token.value) for token in self._tokenizer.model.tokenize(spelling)]

    def open_cuts(self, spelling: str) -> list[int]:
        """Positions in the beginning of a word where a token may start that ends beyond it."""
        first = max(0, len(spelling) - self._longest_token + 1)
        return [cut for cut in range(first, len(spelling)) if self._goes_on(spelling[cut:])]

    def _goes_on(self, part: str) -> bool:
        """Whether a token begins with this part of a spelling, and is longer."""
        index = bisect_right(self._spellings, part)  # longer spellings come right after it
        return index < len(self._spellings) and self._spellings[index].startswith(part)

    @cached_property
    def _spellings(self) -> list[str]:
        """All tokens but the special ones, sorted."""
        return sorted(self._tokenizer.get_vocab().keys() - set(SPECIAL_TOKENS))

    @cached_property
    def _longest_token(self) -> int:
        return max(map(len, self._spellings), default=0)
