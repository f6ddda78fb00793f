"""A role's app: its settings reach Faust, its start fails in words, its former life is on disk."""

import asyncio
import threading
from pathlib import Path

import pytest

from schemas.errors import Unavailable
from streams.app import FormerLife, GroupApp, GroupSettings, build_app


class Feed:
    """A feed of a node that was never assigned anything."""

    def wants(self, _topic: str, _partition: int) -> bool:
        """Want everything."""
        return True

    def position(self, _topic: str, _partition: int) -> int:
        """Begin at the beginning."""
        return 0


def build(folder: Path, address: str) -> GroupApp:
    """Build an app."""
    settings = GroupSettings(address, folder, 4, group_prefix="millrace-")
    return build_app("history", settings, Feed(), on_crash=lambda _: None)


async def test_settings_reach_faust(tmp_path: Path) -> None:
    """Short heartbeats, no tables, no web, no producer, no topics of its own."""
    app = build(tmp_path, "one:9092,two:9092")
    conf = app.faust.conf
    assert conf.id == "millrace-history"
    assert [str(url) for url in conf.broker] == ["kafka://one:9092", "kafka://two:9092"]
    assert (conf.broker_session_timeout, conf.broker_heartbeat_interval) == (6.0, 0.3)
    assert not conf.web_enabled
    assert not conf.topic_allow_declare
    assert not app.faust.boot_strategy._should_enable_kafka_producer()
    assert app.faust.tables.data == {}
    assert list(app.faust.warm()) == [0, 1, 2, 3]
    await app.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_without_kafka_it_does_not_start(tmp_path: Path) -> None:
    """One error of ours, whatever the clients below call it."""
    before = set(threading.enumerate())
    app = build(tmp_path, "127.0.0.1:1")
    with pytest.raises(Unavailable, match="expected to join group 'millrace-history'"):
        await app.start()
    await app.stop()
    for thread in set(threading.enumerate()) - before:  # what they raise is told here
        await asyncio.to_thread(thread.join, 10)


def test_v6_the_former_life_is_kept(tmp_path: Path) -> None:
    """V6: the newest member id; none before the first life."""
    note = FormerLife(tmp_path)
    assert note.read() is None
    note.write("member-1")
    note.write("member-2")
    assert FormerLife(tmp_path).read() == "member-2"
    assert [path.name for path in tmp_path.iterdir()] == ["member"]
