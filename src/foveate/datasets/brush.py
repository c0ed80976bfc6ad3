"""Run lengths of Label Studio's brush: the bytes of an RGBA picture, packed by @thi.ng/rle-pack.

A stream of bits, the highest of a byte first (github.com/thi-ng/umbrella, packages/rle-pack, "Encoding format"):

    32 bits      number of words
    5 bits       size of a word, less 1: 8 bits for the bytes of a picture
    4 x 4 bits   sizes of a count, less 1; usually 3, 4, 8 and 16 bits
    then groups  1 bit: 1 for one word that is repeated, 0 for different words; 2 bits: which of the four sizes;
                 the count of words, less 1, in that size; the word, or the words

A pixel belongs to the stroke if its alpha is over 0, as in Label Studio's own pages and its export of COCO.
"""

from __future__ import annotations

from array import array

import numpy as np

from foveate.errors import counted

_HEADER, _WORD, _CHANNELS = 32 + 5 + 4 * 4, 8, 4  # in bits


def stroke_runs(packed: bytes, height: int, width: int) -> np.ndarray:
    """Lengths (R,) int32 of runs of pixels, row by row, the first of them outside of the stroke.

    Time and memory grow with the length of `packed`, whatever it states. Raises ValueError for run lengths that are cut
    short, or not of (height, width).
    """
    lengths, words = _groups(packed, height, width)
    # Word w is the alpha of pixel w // 4 if w % 4 is 3, so that e // 4 pixels have their alpha before word e.
    edges = np.cumsum(lengths) // _CHANNELS
    pixels = np.diff(edges, prepend=0)
    some = pixels > 0
    inside = np.concatenate([[False], words[some] > 0])
    starts = np.flatnonzero(np.concatenate([[True], inside[1:] != inside[:-1]]))
    return np.add.reduceat(np.concatenate([[0], pixels[some]]), starts).astype(np.int32)


def _groups(packed: bytes, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Repeats (G,) int64 of words, and the words (G,) uint8, in order. Raises ValueError."""
    bits, total = 8 * len(packed), height * width * _CHANNELS
    if bits < _HEADER:
        raise ValueError(f"run lengths of {counted(len(packed), 'byte')}, which are cut short")
    header = int.from_bytes(packed[:7], "big") >> (56 - _HEADER)
    stated, word_bits = header >> 21, (header >> 16 & 31) + 1
    sizes = [(header >> shift & 15) + 1 for shift in (12, 8, 4, 0)]
    if stated != total or word_bits != _WORD:
        raise ValueError(
            f"run lengths of {stated:,} words of {word_bits} bits; expected {total:,} of 8, four for each pixel of "
            f"{width}x{height}"
        )
    data = packed + bytes(8)  # so that eight bytes can be read anywhere
    place, done = _HEADER, 0
    lengths, words = array("L"), bytearray()
    while done < total:
        window = int.from_bytes(data[place >> 3 : (place >> 3) + 8], "big") << (place & 7)
        size = sizes[window >> 61 & 3]
        count = (window >> 61 - size & (1 << size) - 1) + 1
        repeated = window >> 63 & 1
        place += 3 + size
        end = place + (_WORD if repeated else _WORD * count)
        done += count
        if end > bits or done > total:
            raise ValueError(f"run lengths that {'are cut short' if end > bits else 'run over the end'}")
        if repeated:
            lengths.append(count)
            words.append(window >> 53 - size & 255)
        else:
            piece = int.from_bytes(data[place >> 3 : (place >> 3) + count + 1], "big") >> 8 - (place & 7)
            lengths.extend([1] * count)
            words += piece.to_bytes(count + 1, "big")[1:]
        place = end
    return np.array(lengths, np.int64), np.frombuffer(words, np.uint8)
