"""Logging: what libraries repeat is held back."""

import logging

from infra.log import Repeats


def line(name: str, text: str, at: float) -> logging.LogRecord:
    """Return a line of a library at an instant (s)."""
    record = logging.LogRecord(name, logging.ERROR, "", 0, text, (), None)
    record.created = at
    return record


def test_same_line_is_said_once_in_ten_seconds() -> None:
    """What differs only in numbers and addresses is the same; the count is said later."""
    repeats = Repeats()
    name = "aiokafka.consumer.fetcher"
    assert repeats.filter(line(name, "Failed fetch from 0: closed", 100.0))
    assert not repeats.filter(line(name, "Failed fetch from 1: refused", 101.0))
    assert not repeats.filter(line("aiokafka", "Failed fetch from 0: closed", 109.9))
    assert repeats.filter(line("aiokafka", "Unable to update metadata from [0]", 109.9))
    again = line(name, "Failed fetch from 0: closed", 110.0)
    assert repeats.filter(again)
    assert again.getMessage() == "Failed fetch from 0: closed (and 2 more like it)"


def test_our_own_lines_are_all_said() -> None:
    """Only Kafka's clients are held back."""
    repeats = Repeats()
    assert all(repeats.filter(line("streams.log", "the same", 1.0)) for _ in range(3))
