"""Speech is amplified by a constant, in pieces as in one, and never clipped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.model.config import Speaking
from sled.streaming.loudness import KNEE, amplify, output_gain_db


@given(gain_db=st.floats(-20, 30), cut=st.integers(0, 200))
def test_pieces_give_the_whole_and_no_sample_is_above_full_scale(gain_db, cut):
    audio = np.linspace(-1, 1, 200, dtype=np.float32)
    whole = amplify(audio, gain_db)
    pieces = np.concatenate([amplify(audio[:cut], gain_db), amplify(audio[cut:], gain_db)])
    np.testing.assert_array_equal(pieces, whole)
    assert np.abs(whole).max() <= 1 and whole.dtype == np.float32
    assert (np.diff(whole) >= 0).all()  # louder stays louder


def test_below_the_knee_the_gain_is_exact():
    audio = np.linspace(-0.39, 0.39, 50, dtype=np.float32)
    np.testing.assert_allclose(amplify(audio, 20 * np.log10(2)), 2 * audio, rtol=1e-6)
    assert KNEE > 0.78


def test_no_gain_changes_nothing():
    audio = np.array([3.0, -0.5], np.float32)
    assert amplify(audio, 0.0) is audio


@pytest.mark.parametrize(
    ("speaking", "gain_db"),
    [
        (Speaking(), 0.0),  # nothing is known
        (Speaking(speech_level_db=-26.0), 6.0),
        (Speaking(speech_level_db=-14.0), -6.0),
        (Speaking(speech_level_db=-26.0, output_gain_db=1.5), 1.5),
    ],
)
def test_the_gain_brings_speech_to_the_usual_loudness(speaking, gain_db):
    assert output_gain_db(speaking) == gain_db
