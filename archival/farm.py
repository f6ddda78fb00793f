"""FarmHash's Fingerprint64, by which Temporal names the files of its archives.

A fingerprint tells ids apart with high probability, never with certainty: whoever reads a file
that was found by one compares the ids inside it.
"""

from struct import unpack_from
from typing import Final

_K0: Final = 0xC3A5C85C97CB3127
_K1: Final = 0xB492B66FBE98F273
_K2: Final = 0x9AE16A3B2F90404F
_MASK: Final = 0xFFFFFFFFFFFFFFFF
_SEED: Final = 81


def fingerprint64(text: bytes) -> int:
    """Return the 64-bit fingerprint of some bytes."""
    length = len(text)
    if length <= 16:
        return _up_to_16(text)
    if length <= 32:
        return _up_to_32(text)
    if length <= 64:
        return _up_to_64(text)
    return _long(text)


def _word(text: bytes, at: int) -> int:
    return int.from_bytes(text[at : at + 8], "little")


def _turn(value: int, bits: int) -> int:
    """Rotate right; only the low 64 bits count."""
    value &= _MASK
    return value >> bits | value << 64 - bits & _MASK


def _mix(value: int) -> int:
    return value ^ value >> 47


def _pair(u: int, v: int, factor: int) -> int:
    u, v, factor = u & _MASK, v & _MASK, factor & _MASK
    a = _mix((u ^ v) * factor & _MASK)
    return _mix((v ^ a) * factor & _MASK) * factor & _MASK


def _up_to_16(text: bytes) -> int:
    length = len(text)
    factor = _K2 + length * 2
    if length >= 8:
        a = _word(text, 0) + _K2
        b = _word(text, length - 8)
        c = _turn(b, 37) * factor + a
        return _pair(c, (_turn(a, 25) + b) * factor, factor)
    if length >= 4:
        first, last = unpack_from("<I", text)[0], unpack_from("<I", text, length - 4)[0]
        return _pair(length + (first << 3), last, factor)
    if length > 0:
        y = text[0] + (text[length >> 1] << 8)
        z = length + (text[-1] << 2)
        return _mix((y * _K2 ^ z * _K0) & _MASK) * _K2 & _MASK
    return _K2


def _up_to_32(text: bytes) -> int:
    length = len(text)
    factor = _K2 + length * 2
    a, b = _word(text, 0) * _K1, _word(text, 8)
    c, d = _word(text, length - 8) * factor, _word(text, length - 16) * _K2
    first = _turn(a + b, 43) + _turn(c, 30) + d
    return _pair(first, a + _turn(b + _K2, 18) + c, factor)


def _up_to_64(text: bytes) -> int:
    length = len(text)
    factor = _K2 + length * 2
    a, b = _word(text, 0) * _K2, _word(text, 8)
    c, d = _word(text, length - 8) * factor, _word(text, length - 16) * _K2
    y = _turn(a + b, 43) + _turn(c, 30) + d
    z = _pair(y, a + _turn(b + _K2, 18) + c, factor)
    e, f = _word(text, 16) * factor, _word(text, 24)
    g = (y + _word(text, length - 32)) * factor
    h = (z + _word(text, length - 24)) * factor
    return _pair(_turn(e + f, 43) + _turn(g, 30) + h, e + _turn(f + a, 18) + g, factor)


def _weak(text: bytes, at: int, a: int, b: int) -> tuple[int, int]:
    w, x, y, z = unpack_from("<4Q", text, at)
    a += w
    b = _turn(b + a + z, 21)
    c = a
    a += x + y
    b += _turn(a, 44)
    return a + z & _MASK, b + c & _MASK


def _long(text: bytes) -> int:
    length = len(text)
    v, w = (0, 0), (0, 0)
    x = _SEED * _K2 + _word(text, 0)
    y = (_SEED * _K1 + 113) & _MASK
    z = _mix((y * _K2 + 113) & _MASK) * _K2
    for at in range(0, length - 64, 64):
        x = _turn(x + y + v[0] + _word(text, at + 8), 37) * _K1
        y = _turn(y + v[1] + _word(text, at + 48), 42) * _K1
        x ^= w[1]
        y += v[0] + _word(text, at + 40)
        z = _turn(z + w[0], 33) * _K1
        v = _weak(text, at, v[1] * _K1, x + w[0])
        w = _weak(text, at + 32, z + w[1], y + _word(text, at + 16))
        x, z = z & _MASK, x & _MASK
        y &= _MASK
    return _end_of_long(text, (x, y, z), v, w)


def _end_of_long(
    text: bytes, xyz: tuple[int, int, int], v: tuple[int, int], w: tuple[int, int]
) -> int:
    x, y, z = xyz
    at = len(text) - 64
    factor = _K1 + ((z & 0xFF) << 1)
    low = w[0] + (len(text) - 1 & 63)
    v = (v[0] + low, v[1])
    w = (low + v[0], w[1])
    x = _turn(x + y + v[0] + _word(text, at + 8), 37) * factor
    y = _turn(y + v[1] + _word(text, at + 48), 42) * factor
    x ^= w[1] * 9
    y += v[0] * 9 + _word(text, at + 40)
    z = _turn(z + w[0], 33) * factor
    v = _weak(text, at, v[1] * factor, x + w[0])
    w = _weak(text, at + 32, z + w[1], y + _word(text, at + 16))
    x, z = z, x
    first = _pair(v[0], w[0], factor) + _mix(y & _MASK) * _K0 + z
    return _pair(first, _pair(v[1], w[1], factor) + x, factor)
