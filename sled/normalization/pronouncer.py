"""Loads the pronouncer of hibari-tts with little time and memory.

When hibari-tts is loaded, it parses two lexicons and the weights of a part-of-speech tagger, which
takes half a second and 100 MB. Its package also imports its speech synthesis, which needs scipy.
To pronounce single words, little of this is needed:

- Lexicon entries are looked up in the text of the files.
- The tagger is loaded for the first word whose pronunciation may depend on its part of speech.
- The network for words that are not in the lexicons is loaded for the first such word.

This relies on the lexicons of hibari-tts 0.2.1. With others hibari-tts loads all of it by itself.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from sled.normalization.sorted_lines import SortedLines
from sled.startup import without_garbage_collection

_NAME = "_hibari_g2p"
_TAGGER = "tagger.json.gz"
_LEXICON_DIGESTS = {
    "lexicon_us_gold.json.gz": "63ae94f8ef0e906d5b24fe9b59ffcbd1529aca5686a774610e43973cbaa86ad2",
    "lexicon_us_silver.json.gz": "c4c2546ebf1eb07010331e7ef785a431aa17ba8e7bfb6b4af8d654ee96a71fd3",
}
_NESTED = re.compile(rb"\{[^{}]*\}")
# Words for which the rules of hibari-tts read the tag.
_TAGGED_WORDS = {"a", "am", "an", "by", "i", "in", "the", "to", "used", "vs"}

Entry = str | dict[str, str | None] | None


def load_pronouncer() -> Callable[[str], str]:
    """A function from a word in small letters to its phonemes, as hibari-tts returns them."""
    g2p = import_g2p()
    with without_garbage_collection():
        pronouncer = _load_light(g2p) if g2p.__name__ == _NAME else g2p.G2P()
    return lambda word: str(pronouncer(word, normalize_text=False))


def import_g2p() -> ModuleType:
    """Import `hibari.g2p` without its parent, under a name of its own.

    `import hibari.g2p` would also run `hibari/__init__.py`, which imports the speech synthesis. The
    folder `g2p` imports nothing from outside itself, so it also loads as a separate package. If a
    later version is built differently, `hibari.g2p` is returned.
    """
    parent = importlib.util.find_spec("hibari")
    for folder in (parent and parent.submodule_search_locations) or []:
        spec = importlib.util.spec_from_file_location(
            _NAME,
            Path(folder) / "g2p" / "__init__.py",
            submodule_search_locations=[str(Path(folder) / "g2p")],
        )
        if spec is None or spec.loader is None:
            continue
        module = sys.modules[_NAME] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except (ImportError, OSError):
            del sys.modules[_NAME]
        else:
            return module
    return importlib.import_module("hibari.g2p")


def _load_light(g2p: Any) -> Any:
    """The `G2P` of this module, with tables that are read when they are needed."""
    load_json: Callable[[str], Any] = g2p._load_json
    files = {name: (Path(g2p.ASSETS) / name).read_bytes() for name in _LEXICON_DIGESTS}
    if any(hashlib.sha256(files[name]).hexdigest() != _LEXICON_DIGESTS[name] for name in files):
        return g2p.G2P()
    tables: dict[str, Any] = {name: LexiconText(gzip.decompress(files[name])) for name in files}
    tables[_TAGGER] = {"tags": [], "tagdict": {}, "weights": {}}
    # The module is our own copy, so the replacement affects no other code.
    g2p._load_json = lambda name: tables[name] if name in tables else load_json(name)
    try:
        pronouncer = g2p.G2P()
    finally:
        g2p._load_json = load_json
    find = pronouncer.lexicon.golds.get  # only this lexicon has words with several readings
    pronouncer.tagger = LazyTagger(find, lambda: g2p.Tagger(load_json(_TAGGER)))
    return pronouncer


class LexiconText:
    """A lexicon of hibari-tts that is looked up in the text of its file.

    Args:
        text: A JSON object with sorted keys, without white space and escapes.
    """

    def __init__(self, text: bytes) -> None:
        # Commas in nested objects are marked by a space, and all others become line feeds.
        text = _NESTED.sub(lambda match: match[0].replace(b',"', b', "'), text[2:-1])
        self._lines = SortedLines(text.replace(b',"', b"\n") + b"\n", b'":')

    def get(self, word: str) -> Entry:
        """The phonemes of a word, or those of each part of speech; None for an unknown word."""
        value = self._lines.find(word)
        return None if value is None else json.loads(value)


class LazyTagger:
    """Tags the words of a text, and loads the tagger when the tags can make a difference.

    Args:
        find: Returns the entry of a word in the lexicon.
        load: Loads the tagger.
    """

    def __init__(self, find: Callable[[str], Entry], load: Callable[[], Any]) -> None:
        self._find, self._load = find, load

    @cached_property
    def _tagger(self) -> Callable[[list[str]], list[str]]:
        with without_garbage_collection():
            tagger: Callable[[list[str]], list[str]] = self._load()
        return tagger

    def __call__(self, words: list[str]) -> list[str]:
        """The tag of each word; any tag for a word that sounds the same with all of them."""
        if len(words) == 1 and not self._matters(words[0]):
            return ["NN"]
        return self._tagger(words)

    def _matters(self, word: str) -> bool:
        """Whether the pronunciation may depend on the tag: it has several, or its stem may."""
        if word in _TAGGED_WORDS or not (word.isascii() and word.isalpha() and word.islower()):
            return True
        stems = {word, word[:-1], word[:-2], word[:-3], word[:-4], word[:-3] + "y", word[:-3] + "e"}
        return any(isinstance(self._find(stem), dict) for stem in stems)
