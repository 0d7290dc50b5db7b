"""Text to tokens: byte-level BPE, with `vocab.json` and `merges.txt` or with `tokenizer.json`."""

import os
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from sled.bundled import tokenizer_folder
from sled.files.hub import find_hub_file, hub_file, is_hub_name
from sled.normalization import max_bytes, normalize, open_normalizer
from sled.text.forms import (
    MERGES_FILE,
    OWN,
    SPECIAL_TOKENS,
    TOKENIZER_FILE,
    TOKENIZER_SETTINGS,
    VOCAB_FILE,
    TextForm,
    read_tokenizer,
)

BOS_ID, PAD_ID, EOS_ID, UNK_ID = range(len(SPECIAL_TOKENS))
MIN_VOCAB_SIZE = len(SPECIAL_TOKENS) + 256  # every byte is a token, so any text can be written

_SPACE = "\u0120"  # the character that stands for a space in a spelling


def normalize_spaces(text: str) -> str:
    """Replace white space by single spaces, with none at either end."""
    return " ".join(text.split())


@lru_cache(maxsize=10_000)
def _said_for(word: str, normalization: str) -> str:
    return normalize_spaces(normalize(word, normalization))


class TextTokenizer:
    """Byte-level BPE with `<s>` and `</s>` around every text.

    In SLED's own form, text is always plain text: a typed "</s>" becomes the tokens of its four
    characters, never the special token. `decode(encode(text))` returns `normalize(text)`, for any
    Unicode string. The special tokens of other forms, such as `[laughter]`, may be typed.

    Args:
        model: The vocabulary and the merges.
        normalization: How texts are normalised first, see `sled.normalization`. None: not at all.
        bos_id: The id before every text. None: there is none.
        eos_id: The id after every text.
        form: How texts are read.
        text_end_id: A further id between every text and `eos_id`. None: there is none.

    Raises:
        ValueError: The special tokens do not have the ids of the form, or there is no such
            normalisation.
    """

    def __init__(
        self,
        model: BPE,
        normalization: str | None = None,
        bos_id: int | None = BOS_ID,
        eos_id: int = EOS_ID,
        form: TextForm = OWN,
        text_end_id: int | None = None,
    ) -> None:
        open_normalizer(normalization)  # raises for an unknown one
        self.normalization = normalization
        self.bos_id, self.eos_id, self.text_end_id = bos_id, eos_id, text_end_id
        self.form = form
        self._tokenizer = form.tokenizer(model)
        if form == OWN:
            # They are not registered with the Tokenizer, which would find them in text.
            found = [self._tokenizer.token_to_id(token) for token in SPECIAL_TOKENS]
            if found != [*range(len(SPECIAL_TOKENS))]:
                raise ValueError(
                    f"vocabulary has {', '.join(SPECIAL_TOKENS)} at {found}: it does not have the "
                    "published form; train one with sled tokenizer"
                )

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        normalization: str | None = None,
        bos_id: int | None = BOS_ID,
        eos_id: int = EOS_ID,
        added: Sequence[str] = (),
        text_end_id: int | None = None,
    ) -> "TextTokenizer":
        """Load the tokenizer of a checkpoint.

        Args:
            name_or_path: A folder with `vocab.json` and `merges.txt` or with `tokenizer.json`, a
                bundled model, or the name of a repository on the Hugging Face hub with these files.
            normalization: As in the checkpoint's configuration.
            bos_id: As there.
            eos_id: As there.
            added: Special tokens that a tokenizer of another form than SLED's is given, after all
                of its own.
            text_end_id: As there.

        Raises:
            ValueError: The files do not exist or are not a tokenizer, or texts would have to be
                normalised for one that was trained on texts as they are.
        """
        folder = Path(tokenizer_folder(os.fspath(name_or_path)))
        model, form = read_tokenizer(_tokenizer_files(folder, name_or_path), added)
        return cls(model, normalization, bos_id, eos_id, form, text_end_id)

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
        """Write its files into a folder, which is created if it does not exist.

        These are `vocab.json` and `merges.txt`, or, in another form than SLED's, `tokenizer.json`.
        """
        Path(folder).mkdir(parents=True, exist_ok=True)
        if self.form == OWN:
            self._tokenizer.model.save(str(folder))
        else:
            self._tokenizer.save(str(Path(folder) / TOKENIZER_FILE))

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
    def encodes_prompts_apart(self) -> bool:
        """Whether the text of a prompt and the text that follows it are encoded one by one.

        Published models of speech tokens have them so. Those in SLED's form are one text, with a
        space between them.
        """
        return self.form != OWN

    @property
    def begin(self) -> list[int]:
        """The ids before every text."""
        return [] if self.bos_id is None else [self.bos_id]

    @property
    def end(self) -> list[int]:
        """The ids after every text."""
        return [one for one in (self.text_end_id, self.eos_id) if one is not None]

    def count(self, text: str) -> int:
        """Number of tokens of a text, without those of `begin` and `end`.

        While a text grows, the same words and beginnings of words are counted again and again, so
        what is said for the last ones is kept.
        """
        if self.normalization is not None:
            text = _said_for(text, self.normalization)
        return len(self._tokenizer.encode(text).ids)

    def max_count(self, text: str) -> int:
        """An upper bound of `count`, which is much faster to compute."""
        return max_bytes(text, self.normalization)

    def token_ends(self, text: str) -> list[int]:
        """Where each token ends in a text that is already normalised; no special tokens."""
        return [end for _, end in self._tokenizer.encode(text).offsets]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids; those that cannot be typed, or mark its ends, are left out."""
        ends = {*self.begin, *self.end}
        shown = [one for one in ids if one >= self.form.reserved and one not in ends]
        return self._tokenizer.decode(shown, skip_special_tokens=False)

    def num_bytes(self, token: int) -> int:
        """The bytes that a token stands for, without spaces; 0 for a special token."""
        if token < self.form.reserved:
            return 0
        spelling = self._tokenizer.id_to_token(token)
        if spelling is None or spelling in self.form.typed:
            return 0
        return len(spelling) - spelling.count(_SPACE)

    def words(self, text: str) -> list[tuple[str, int]]:
        """Split a text that is already normalised into the words that are encoded one by one.

        Returns:
            For each word its spelling, which has a printable character for each UTF-8 byte, and
            where in the text it ends.
        """
        words = []
        for part, start, is_special in self.form.parts(text):
            if is_special:
                words.append((part, start + len(part)))
            elif part:
                found = self._tokenizer.pre_tokenizer.pre_tokenize_str(part)
                words += [(spelling, start + end) for spelling, (_, end) in found]
        return words

    def encode_word(self, spelling: str) -> list[tuple[int, str]]:
        """The ids of the tokens of a word, each with its part of the spelling."""
        if spelling in self.form.typed:
            return [(self.form.typed[spelling], spelling)]
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
        special = {*SPECIAL_TOKENS[: self.form.reserved], *self.form.typed}
        return sorted(self._tokenizer.get_vocab().keys() - special)

    @cached_property
    def _longest_token(self) -> int:
        return max(map(len, self._spellings), default=0)


def _tokenizer_files(folder: Path, name_or_path: str | os.PathLike[str]) -> dict[str, Path]:
    """The files that a tokenizer is read from; `ValueError` if there are none."""
    known = (TOKENIZER_FILE, TOKENIZER_SETTINGS, VOCAB_FILE, MERGES_FILE)
    if folder.is_dir():
        files = {name: folder / name for name in known if (folder / name).is_file()}
        missing = [name for name in (VOCAB_FILE, MERGES_FILE) if name not in files]
        if missing and TOKENIZER_FILE not in files:
            raise ValueError(
                f"{folder} lacks {' and '.join(missing)}: "
                "name a checkpoint or tokenizer folder that holds both"
            )
        return files
    if not is_hub_name(folder):
        raise ValueError(
            f"no tokenizer at {folder}: name a folder, a bundled model, or a hub name "
            "OWNER/NAME, that holds vocab.json and merges.txt"
        )
    name = str(name_or_path)
    try:
        files = {file: hub_file(name, file) for file in (VOCAB_FILE, MERGES_FILE)}
        found = {file: find_hub_file(name, file) for file in (TOKENIZER_FILE, TOKENIZER_SETTINGS)}
    except ValueError as error:
        raise ValueError(f"no tokenizer {name_or_path}: {error}") from error
    return files | {file: path for file, path in found.items() if path is not None}
