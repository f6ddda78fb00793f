"""What strangers send: garbage, half frames, lies about lengths. The broker serves on."""

import asyncio
import json
import random
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.broker.api.routes import ROUTES
from infra.broker.child import BrokerChild, StartFailedError

API_VERSIONS_0 = struct.pack(">ihhih", 10, 18, 0, 7, -1)
_PATIENCE_S = 20


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[BrokerChild]:
    """Yield a running broker."""
    child = await BrokerChild.start(tmp_path / "data")
    yield child
    assert not child.died.done()
    assert await child.stop() == 0


async def answer_to(broker: BrokerChild, *sent: bytes) -> bytes:
    """Return the first answer to bytes on a connection of their own; empty if it is closed."""
    host, port = broker.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for part in sent:
            writer.write(part)
            await writer.drain()
        size = await asyncio.wait_for(reader.read(4), _PATIENCE_S)
        return await reader.readexactly(struct.unpack(">i", size)[0]) if len(size) == 4 else b""
    except (ConnectionError, asyncio.IncompleteReadError):
        return b""
    finally:
        writer.close()


async def serves(broker: BrokerChild) -> bool:
    """Say whether a well-behaved client is served."""
    return (await answer_to(broker, API_VERSIONS_0))[:4] == struct.pack(">i", 7)


@pytest.mark.parametrize("length", [-1, 0, 9, 2**31 - 1])
async def test_a_length_that_cannot_be_closes_the_connection(
    broker: BrokerChild, length: int
) -> None:
    """Without waiting for the bytes, and without room for them."""
    assert await answer_to(broker, struct.pack(">i", length), bytes(10)) == b""
    assert await serves(broker)


async def test_a_frame_may_come_byte_by_byte(broker: BrokerChild) -> None:
    """Half frames wait for the other half."""
    parts = [API_VERSIONS_0[at : at + 1] for at in range(len(API_VERSIONS_0))]
    assert (await answer_to(broker, *parts))[:4] == struct.pack(">i", 7)


async def test_an_unknown_version_of_api_versions_is_told_the_known_ones(
    broker: BrokerChild,
) -> None:
    """In version 0, with UNSUPPORTED_VERSION."""
    answer = await answer_to(broker, struct.pack(">ihhih", 10, 18, 99, 7, -1))
    assert struct.unpack_from(">ih", answer) == (7, 35)


@pytest.mark.parametrize(("key", "version"), [(999, 0), (-1, 0), (0, 2), (1, 13), (3, 99)])
async def test_what_is_not_served_closes_the_connection(
    broker: BrokerChild, key: int, version: int
) -> None:
    """Unknown APIs and versions."""
    assert await answer_to(broker, struct.pack(">ihhih", 10, key, version, 7, -1)) == b""
    assert await serves(broker)


async def test_no_garbage_stops_it(broker: BrokerChild) -> None:
    """Random bodies behind every API and version."""
    rng = random.Random(3)
    for route in ROUTES.values():
        for version in range(route.api.versions[0], route.api.versions[1] + 1):
            body = rng.choice([rng.randbytes(rng.randrange(60)), bytes(rng.randrange(60))])
            head = struct.pack(">hhih", route.api.key, version, 7, -1)
            frame = struct.pack(">i", len(head) + len(body)) + head + body
            host, port = broker.address.split(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(frame)
            await writer.drain()
            writer.close()
    assert await serves(broker)


async def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    """When the pipe on its stdin ends, cleanly."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "infra.broker", "--data-dir", str(tmp_path / "data")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), _PATIENCE_S)
    assert json.loads(line)["address"].startswith("127.0.0.1:")
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), _PATIENCE_S) == 0


async def test_what_keeps_it_from_starting_is_one_sentence(
    broker: BrokerChild, tmp_path: Path
) -> None:
    """A folder in use, a port taken, a folder that cannot be."""
    port = int(broker.address.split(":")[1])
    (tmp_path / "file").write_text("")
    for folder, number, words in (
        (tmp_path / "data", 0, "in use by another process"),
        (tmp_path / "other", port, "Address already in use"),
        (tmp_path / "file" / "data", 0, "Cannot write to the data folder"),
    ):
        with pytest.raises(StartFailedError) as refused:
            await BrokerChild.start(folder, port=number)
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)


async def test_a_kill_is_told(tmp_path: Path) -> None:
    """`died` resolves to the exit code."""
    child = await BrokerChild.start(tmp_path / "data")
    await child.kill()
    assert await asyncio.wait_for(child.died, _PATIENCE_S) == -9
