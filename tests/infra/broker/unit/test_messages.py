"""The message tables against bytes that another implementation (kio) wrote, every field filled."""

from pathlib import Path

import pytest

from infra.broker.messages import cluster, groups, records, transactions
from infra.broker.schema import (
    Api,
    Message,
    request_decoder,
    request_encoder,
    response_decoder,
    response_encoder,
)
from infra.broker.wire import MALFORMED, read_uvarint, read_varint, uvarint, varint

_MODULES = (cluster, groups, records, transactions)
_APIS = {
    api.name: api for module in _MODULES for api in vars(module).values() if isinstance(api, Api)
}
_LINES = Path(__file__).with_name("golden_messages.txt").read_text().splitlines()


def _with_record_lists(message: Message) -> Message:
    """Return a decoded message in the form encoders take: records as lists of buffers."""
    for name, value in message.items():
        if isinstance(value, memoryview):
            message[name] = [value]
        elif isinstance(value, list):
            for one in value:
                if isinstance(one, dict):
                    _with_record_lists(one)
    return message


@pytest.mark.parametrize("line", _LINES, ids=lambda line: "-".join(line.split()[:3]))
def test_what_others_wrote_is_read_and_written_back(line: str) -> None:
    """Decoding takes every byte, and encoding gives the same bytes."""
    name, version, kind, text = line.split()
    api, raw = _APIS[name], bytes.fromhex(text)
    is_request = kind == "request"
    decode = (request_decoder if is_request else response_decoder)(api, int(version))
    encode = (request_encoder if is_request else response_encoder)(api, int(version))
    message, end = decode(raw, 0)
    assert end == len(raw)
    parts: list[bytes] = []
    encode(_with_record_lists(message), parts.append)
    assert b"".join(parts) == raw


@pytest.mark.parametrize("line", _LINES[::7], ids=lambda line: "-".join(line.split()[:3]))
def test_a_cut_message_is_malformed_or_too_long(line: str) -> None:
    """No prefix of a message is taken for a whole one without notice."""
    name, version, kind, text = line.split()
    raw = bytes.fromhex(text)
    decoder = request_decoder if kind == "request" else response_decoder
    for length in range(len(raw)):
        cut = raw[:length]
        try:
            _, end = decoder(_APIS[name], int(version))(cut, 0)
        except MALFORMED:
            continue
        assert end > len(cut) or raw[end:].strip(b"\0") == b"" or end == len(cut)


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 2**31 - 1, 2**35, 2**63 - 1])
def test_varints_come_back(number: int) -> None:
    """Both kinds, and the negative ones."""
    assert read_uvarint(uvarint(number), 0)[0] == number
    assert read_varint(varint(number), 0)[0] == number
    assert read_varint(varint(-number), 0)[0] == -number
