"""What can be evaluated on a test set."""

MODES = {
    "teacher": "the recordings",
    "codec": "the recordings, encoded and decoded by the codec",
    "model": "the model in its own layout",
    "offline": "the model in the offline layout",
    "stream": "the model in its streaming layout",
    "live": "the same in a session, whose text is written character by character",
    "clone": "the model in the offline layout, with another test recording as prompt",
}
DEFAULT_MODES = ("teacher", "codec", "offline", "stream", "clone")
SPEAKING_MODES = ("model", "offline", "stream", "live", "clone")
