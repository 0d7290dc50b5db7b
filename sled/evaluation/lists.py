"""Lists of test items that others publish: texts, prompts, and where the recordings are."""

from __future__ import annotations

from pathlib import Path

from sled.evaluation.items import Item, file_clip


def read_cross_sentence_list(path: Path, recordings: Path) -> list[Item]:
    """Read a list for LibriSpeech in which every text has another sentence as prompt.

    A line has, between tabs: id, duration and transcript of the prompt, then of the text. F5-TTS
    publishes such a list of 1,127 items, of 4 to 10 s, with the punctuation of LibriSpeech-PC.

    Args:
        path: The list.
        recordings: The folder of LibriSpeech's test-clean.

    Raises:
        ValueError: For a line of another form.
    """
    items = []
    for number, fields in enumerate(_lines(path, "\t"), start=1):
        if len(fields) != 6:
            raise ValueError(f"{path}, line {number}: {len(fields)} fields between tabs, not 6")
        prompt_id, prompt_s, prompt_text, own_id, own_s, text = fields
        items.append(
            Item(
                own_id,
                text,
                speaker=own_id.split("-")[0],
                recording=file_clip(_librispeech(recordings, own_id), text, float(own_s)),
                prompt=file_clip(_librispeech(recordings, prompt_id), prompt_text, float(prompt_s)),
            )
        )
    return items


def _librispeech(folder: Path, name: str) -> Path:
    speaker, chapter, _ = name.split("-")
    return folder / speaker / chapter / f"{name}.flac"


def read_seed_tts_list(path: Path) -> list[Item]:
    """Read a `meta.lst` of Seed-TTS-eval.

    A line has, between bars: id, transcript of the prompt, its audio file, the text, and sometimes
    the audio file of the text. Paths start from the folder of the list.

    Raises:
        ValueError: For a line of another form.
    """
    items = []
    for number, fields in enumerate(_lines(path, "|"), start=1):
        if len(fields) not in (4, 5):
            raise ValueError(f"{path}, line {number}: {len(fields)} fields between bars, not 4, 5")
        name, prompt_text, prompt_audio, text = fields[:4]
        recording = None
        if len(fields) == 5:
            recording = file_clip(path.parent / fields[4], text, name=fields[4])
        prompt = file_clip(path.parent / prompt_audio, prompt_text, name=prompt_audio)
        items.append(Item(name, text, recording=recording, prompt=prompt))
    return items


def _lines(path: Path, separator: str) -> list[list[str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split(separator) for line in lines if line.strip()]
