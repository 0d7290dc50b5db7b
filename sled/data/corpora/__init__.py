"""Corpora of any form, converted to Lhotse cut manifests in which every utterance has been checked.

    reader of a corpus's form  ->  items  ->  checks  ->  parts  ->  splits and report
    (one small file each)         items.py   checks.py   parts.py    prepare.py

To add a corpus, write a function that yields items, and a subcommand of `sled prepare` for it.

Audio is not copied or converted. A manifest keeps the sample rate and channels of each file;
reading a cut for training averages the channels and resamples.
"""
