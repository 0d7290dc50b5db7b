"""Packing and unpacking give the same codes, in the expected number of bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.data.cache.packing import bits_per_code, frame_bytes, pack_codes, unpack_codes


@given(
    num_frames=st.integers(0, 30),
    num_codebooks=st.integers(1, 12),
    bits=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_unpacking_undoes_packing(
    num_frames: int, num_codebooks: int, bits: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, 1 << bits, (num_frames, num_codebooks))
    packed = pack_codes(codes, bits)
    assert packed.shape == (num_frames, frame_bytes(num_codebooks, bits))
    unpacked = unpack_codes(packed, num_codebooks, bits)
    assert unpacked.dtype == np.int64
    np.testing.assert_array_equal(unpacked, codes)


@given(st.lists(st.integers(0, 1023), min_size=1, max_size=9))
def test_a_frame_is_its_codes_written_as_one_binary_number(frame: list[int]) -> None:
    digits = "".join(f"{code:010b}" for code in frame)
    digits += "0" * (-len(digits) % 8)
    expected = int(digits, 2).to_bytes(len(digits) // 8, "big")
    assert pack_codes(np.array([frame]), 10).tobytes() == expected


@given(st.integers(2, 1 << 20))
def test_bits_are_just_enough(codebook_size: int) -> None:
    bits = bits_per_code(codebook_size)
    assert 1 << (bits - 1) < codebook_size <= 1 << bits


def test_the_published_codec_takes_ten_bytes_a_frame() -> None:
    assert frame_bytes(8, bits_per_code(1024)) == 10


def test_what_does_not_fit_is_refused() -> None:
    for code in (-1, 8):
        with pytest.raises(ValueError, match="3 bits"):
            pack_codes(np.array([[0, code]]), 3)
    packed = pack_codes(np.array([[1, 2]]), 3)
    with pytest.raises(ValueError, match="8 codes of 10 bits"):
        unpack_codes(packed, 8, 10)
    with pytest.raises(ValueError, match="int16"):
        unpack_codes(np.zeros((5, 10), np.int16), 8, 10)
