"""Corpora of any form become one: a Lhotse cut manifest in which every item has been checked.

    a corpus's own form  ->  items  ->  checks  ->  parts  ->  splits and report
    (one small file each)   items.py   checks.py   parts.py    prepare.py

To add a corpus, write a function that yields items, and a thin script that calls it.

Audio is not copied or converted. A manifest keeps each file's own sample rate and channels;
reading a cut for training averages the channels and resamples, which happens there alone, once.
"""
