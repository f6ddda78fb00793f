"""`make demo` as its user sees it, with the server killed in the middle."""

import subprocess
import sys
import threading
from collections.abc import Iterable

import pytest

from tests.support.millrace_server import PROJECT, MillraceServer

ORDERS = 200


@pytest.mark.timeout(240)
def test_the_demo_outlives_kill_9(own_server: MillraceServer) -> None:
    """All orders are done, half by each way, and the first answers of a killed server count."""
    address = own_server.start()
    line = [sys.executable, "-m", "infra.demo", "--address", address]
    line += ["--kafka", own_server.kafka_address]
    with subprocess.Popen(
        line, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        said: list[str] = []
        is_under_way = threading.Event()
        reading = threading.Thread(target=_read, args=(demo.stdout, said, is_under_way))
        reading.start()
        assert is_under_way.wait(120)
        own_server.kill()
        own_server.start()
        assert demo.wait(180) == 0
        reading.join()
    whole = "".join(said)
    assert f"{ORDERS} of {ORDERS}" in whole
    totals = said[-1].split()
    assert totals[:4] == ["all", f"{ORDERS}", f"{ORDERS // 2}", f"{ORDERS // 2}"]


def _read(lines: Iterable[str], said: list[str], is_under_way: threading.Event) -> None:
    for line in lines:
        said.append(line)
        if "done" in line and not line.rstrip().endswith(f"done    0 of {ORDERS}"):
            is_under_way.set()
    is_under_way.set()
