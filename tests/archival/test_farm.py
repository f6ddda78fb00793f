"""Fingerprints are those of the Go library that Temporal uses."""

import pytest

from archival.farm import fingerprint64

FROM_GO = {
    0: 11160318154034397263,
    1: 6305636504242451570,
    3: 13834569241161582340,
    4: 13170013451958864172,
    7: 18206991086040837843,
    8: 9428305113669125767,
    15: 12668199355186581672,
    16: 10129112920688917832,
    17: 2656757668302210497,
    24: 12690665579745793971,
    32: 12730503038137802012,
    33: 8233616400881944879,
    36: 10623499795597410157,
    48: 11376540996482476873,
    63: 3363580134971725754,
    64: 12627091540337118895,
    65: 562400531414496700,
    70: 1864247860209503222,
    74: 546843518236521464,
    111: 2879155432438135716,
    185: 12305038927485221505,
    222: 16775312805893905090,
    370: 11714827749660533834,
}
"""Of the bytes (131 n + 7) mod 251, so many of them, by `farm.Fingerprint64`."""


@pytest.mark.parametrize("length", FROM_GO)
def test_fingerprints_are_those_of_the_go_library(length: int) -> None:
    """For every branch of the algorithm."""
    text = bytes((at * 131 + 7) % 251 for at in range(length))
    assert FROM_GO[length] == fingerprint64(text)
