"""From items to manifests, with a report of the rejected items.

Invariants: the same items and settings give the same manifests; no sentence is in two splits of one
run; manifests are written last, after all items are checked and the report is written.
"""

import gzip
import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from sled.data.corpora.items import REMEDIES, Item, Rejected
from sled.data.corpora.options import HELD_OUT_SPLIT, CorpusOptions
from sled.data.corpora.parts import check_parts, digest_items, read_parts
from sled.data.corpora.shar import shar_folder
from sled.data.corpora.splits import count_threshold, sentence_hash, share_threshold
from sled.files.json_object import read_json_object

logger = logging.getLogger(__name__)

# Of a report: the digest of the items.
_ITEMS = "items"


@dataclass
class Report:
    """Result of preparing a corpus.

    Attributes:
        utterances: Number of utterances of each split.
        hours: Duration of each split.
        rejected: Number of rejected items for each reason, most frequent first.
    """

    utterances: dict[str, int]
    hours: dict[str, float]
    rejected: dict[str, int]


def manifest_path(output_dir: Path, split: str) -> Path:
    """Path of the manifest of a split."""
    return output_dir / f"cuts_{split}.jsonl.gz"


def rejected_path(output_dir: Path, split: str) -> Path:
    """Path of the list of rejected items: a JSON object per line with id, reason and detail."""
    return output_dir / f"rejected_{split}.jsonl"


def report_path(output_dir: Path, split: str) -> Path:
    """Path of the report: a JSON object with the settings and what `Report` has."""
    return output_dir / f"report_{split}.json"


def prepare_corpus(
    items: Iterable[Item],
    output_dir: Path,
    options: CorpusOptions,
    settings: Mapping[str, object],
    num_workers: int = 0,
    *,
    replace: bool = False,
) -> Report:
    """Check a corpus and write its manifests.

    An interrupted run continues where it stopped; a complete one is not repeated.

    Args:
        items: The corpus, read as a stream.
        output_dir: Folder of `cuts_<split>.jsonl.gz` for each split, `rejected_<split>.jsonl` and
            `report_<split>.json`.
        options: How to check and split.
        settings: All settings that decide the result, options included; stored in the report.
        num_workers: Processes that check audio. 0: only this one.
        replace: Whether manifests of a corpus that has changed, or that were made with other
            settings, are made again; this needs items that can be read twice. Otherwise they are
            refused.

    Returns:
        The report.

    Raises:
        ValueError: If an item is bad and the run is to stop there, a split would be empty, or the
            folder holds this split with other settings or of another corpus.
    """
    if num_workers < 0:
        raise ValueError(f"--num_workers {num_workers} is below 0: use 0 for none")
    output_dir = output_dir.absolute()
    settings = json.loads(json.dumps(settings, default=str))
    report_file = report_path(output_dir, options.split)
    try:
        if report := _finished_report(report_file, options, settings, items):
            manifest = manifest_path(output_dir, options.split)
            logger.info("%s is complete; delete it to prepare it again", manifest)
            return report
    except _OtherOrigin as error:
        if not replace:
            raise
        logger.info("%s: prepare it again", error.what)
    _check_free(output_dir, report_file, options)

    work_dir = output_dir / f".work_{options.split}"
    parts, digest = check_parts(
        items,
        work_dir / "parts",
        options.limits,
        output_dir,
        stop_at_bad=options.on_bad == "stop",
        num_workers=num_workers,
    )
    report = _write_splits(parts, work_dir, options)
    fields = {"settings": settings, _ITEMS: digest, **asdict(report)}
    text = json.dumps(fields, indent=2) + "\n"
    (work_dir / report_file.name).write_text(text, encoding="utf-8")

    rejected_file = rejected_path(output_dir, options.split)
    os.replace(work_dir / rejected_file.name, rejected_file)
    _check_report(report, rejected_file, options)
    manifests = [manifest_path(output_dir, split) for split in options.splits]
    for split, manifest in zip(options.splits, manifests, strict=True):
        manifest.unlink(missing_ok=True)
        # Shards of an earlier manifest would not match the new one.
        shutil.rmtree(shar_folder(output_dir, split), ignore_errors=True)
    for path in (report_file, *manifests):
        os.replace(work_dir / path.name, path)
    shutil.rmtree(work_dir)
    return report


def _check_free(output_dir: Path, report_file: Path, options: CorpusOptions) -> None:
    """Raise ValueError if manifests from elsewhere would be overwritten."""
    own = read_json_object(report_file).get("utterances", {}) if report_file.is_file() else {}
    for split in options.splits:
        path = manifest_path(output_dir, split)
        if path.exists() and split not in own:
            raise ValueError(
                f"{path} exists and was not written by this command: "
                "name another --output, or delete it"
            )


class _OtherOrigin(ValueError):
    """Manifests were made of something else."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: name another --output, or delete it")
        self.what = what


def _finished_report(
    report_file: Path, options: CorpusOptions, settings: Mapping[str, object], items: Iterable[Item]
) -> Report | None:
    """The report of an earlier complete run, if there is one."""
    if not report_file.is_file():
        return None
    fields = read_json_object(report_file)
    manifests = [manifest_path(report_file.parent, split) for split in options.splits]
    if not manifests[0].is_file():
        return None
    if fields.pop("settings", None) != settings:
        raise _OtherOrigin(f"{manifests[0]} was made with other settings ({report_file.name})")
    if not all(manifest.is_file() for manifest in manifests):
        return None
    digest = fields.pop(_ITEMS, None)  # reports of older versions have none
    if digest not in (None, digest_items(items)):
        raise _OtherOrigin(f"the corpus has changed since {manifests[0]} was made")
    return Report(**fields)


def _write_splits(parts: Sequence[Path], work_dir: Path, options: CorpusOptions) -> Report:
    """Distribute the checked cuts to the splits, in files of the working folder."""
    threshold = _held_out_threshold(parts, options)
    utterances = dict.fromkeys(options.splits, 0)
    seconds = dict.fromkeys(options.splits, 0.0)
    rejected: Counter[str] = Counter()
    with ExitStack() as stack:
        manifests = {
            split: stack.enter_context(
                gzip.open(manifest_path(work_dir, split), "wt", encoding="utf-8")
            )
            for split in options.splits
        }
        rejections = stack.enter_context(
            rejected_path(work_dir, options.split).open("w", encoding="utf-8")
        )
        for result in read_parts(parts):
            if isinstance(result, Rejected):
                if options.on_bad == "stop":
                    raise result.to_error()
                rejections.write(json.dumps(asdict(result)) + "\n")
                rejected[result.reason] += 1
                continue
            held_out = sentence_hash(result.text, options.seed) < threshold
            split = HELD_OUT_SPLIT if held_out else options.split
            manifests[split].write(result.line)
            utterances[split] += 1
            seconds[split] += result.duration_s
    hours = {split: total / 3600 for split, total in seconds.items()}
    return Report(utterances, hours, dict(rejected.most_common()))


def _held_out_threshold(parts: Sequence[Path], options: CorpusOptions) -> int:
    """Sentences whose hash is below this value are held out."""
    if not options.valid_count:
        return share_threshold(options.valid_share)
    cuts = (result for result in read_parts(parts) if not isinstance(result, Rejected))
    hashes = (sentence_hash(cut.text, options.seed) for cut in cuts)
    return count_threshold(hashes, options.valid_count)


def _check_report(report: Report, rejected_file: Path, options: CorpusOptions) -> None:
    """Raise ValueError if a split is empty."""
    total = sum(report.utterances.values())
    if total == 0 and report.rejected:
        reason = next(iter(report.rejected))
        raise ValueError(
            f"none of {sum(report.rejected.values())} items is usable, most for {reason}: "
            f"{REMEDIES[reason]} (all are listed in {rejected_file})"
        )
    if total == 0:
        raise ValueError("the corpus holds no items: check the input")
    for split, count in report.utterances.items():
        if count == 0:
            raise ValueError(
                f"the split {split} would have none of {total} utterances, since a sentence is in "
                f"one split only: {options.remedy}"
            )
