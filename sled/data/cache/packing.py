"""Codes packed into as few bits as they need: 10 for each code of a codebook of 1,024 entries.

Each frame is packed separately into whole bytes: K = 8 codes of 10 bits fill 10 bytes. Packed codes
keep their time axis, so they can be cut in time like any other array.
"""

import numpy as np
from numpy.typing import NDArray

# Codes are packed by way of words of this many bits, most significant bit first.
_WORD = np.dtype(">u4")
_WORD_BITS = 8 * _WORD.itemsize


def bits_per_code(codebook_size: int) -> int:
    """Number of bits that an index into a codebook needs."""
    return max(1, (codebook_size - 1).bit_length())


def frame_bytes(num_codebooks: int, bits: int) -> int:
    """Number of bytes of a packed frame."""
    return -(-num_codebooks * bits // 8)


def pack_codes(codes: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Pack codes [T, K] of `bits` bits each (at most 32) into bytes [T, frame_bytes].

    Raises:
        ValueError: If a code needs more bits.
    """
    if codes.size and not 0 <= codes.min() <= codes.max() < 1 << bits:
        raise ValueError(f"codes from {codes.min()} to {codes.max()} do not fit in {bits} bits")
    num_frames, num_codebooks = codes.shape
    words = codes.astype(_WORD)[..., None].view(np.uint8)  # [T, K, bytes of a word]
    used = np.unpackbits(words, axis=-1)[..., _WORD_BITS - bits :]
    return np.packbits(used.reshape(num_frames, num_codebooks * bits), axis=-1)


def unpack_codes(packed: NDArray[np.uint8], num_codebooks: int, bits: int) -> NDArray[np.int64]:
    """Unpack bytes [T, frame_bytes] to codes [T, K].

    Raises:
        ValueError: If the shape or type of the bytes does not match.
    """
    num_frames, width = packed.shape
    if packed.dtype != np.uint8 or width != frame_bytes(num_codebooks, bits):
        raise ValueError(
            f"{packed.dtype} array with {width} a frame is not {num_codebooks} codes of {bits} bits"
        )
    used = np.unpackbits(packed, axis=-1, count=num_codebooks * bits)
    words = np.zeros((num_frames, num_codebooks, _WORD_BITS), np.uint8)
    words[..., _WORD_BITS - bits :] = used.reshape(num_frames, num_codebooks, bits)
    return np.packbits(words, axis=-1).view(_WORD)[..., 0].astype(np.int64)
