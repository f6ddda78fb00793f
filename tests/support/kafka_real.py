"""Start a real Apache Kafka (one KRaft node) from Maven Central's jars.

The jars are fetched once into a cache folder outside the tree (`MILLRACE_TEST_CACHE`, by default
`~/.cache/millrace-tests`), under a file lock, because test processes run side by side. When
`MILLRACE_TEST_KAFKA` holds an address, that server is used and none is started.

Without java or mvn the tests are skipped with that reason; with them, a Kafka that does not start
is an error: a skip would hide it.
"""

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.ports import free_ports

VERSION = "4.1.0"
ADDRESS_VARIABLE = "MILLRACE_TEST_KAFKA"
CACHE_VARIABLE = "MILLRACE_TEST_CACHE"
FETCH_TIMEOUT = 300.0
START_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>millrace.tests</groupId><artifactId>kafka</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""

# Small and impatient where a test waits for a background task; Kafka's defaults elsewhere.
_PROPERTIES = """node.id=1
process.roles=broker,controller
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller_port}
log.dirs={folder}/logs
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.initial.task.delay.ms=500
log.retention.check.interval.ms=500
log.cleaner.backoff.ms=500
log.cleaner.dedupe.buffer.size=8388608
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
"""

# Java ends with the tests, also when they are killed: their end of the pipe closes. (A death
# signal of the kernel would come already when the thread ends that started it.)
_WATCHER = """
import os, signal, subprocess, sys, threading
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
threading.Thread(target=lambda: (os.read(0, 1), child.kill()), daemon=True).start()
os._exit(child.wait() & 0xFF)
"""


class KafkaDidNotStartError(RuntimeError):
    """Java is there, but no Kafka came up."""


class RealKafka:
    """One Apache Kafka on one data folder: started, stopped, killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start Kafka and return `host:port` once it answers; the port stays on a restart."""
        assert self._process is None, "expected a stopped Kafka, but it runs"
        jars = fetched_jars()
        settings = self.folder / "server.properties"
        if not settings.exists():
            self._format(jars, settings)
        port = settings.read_text().split("PLAINTEXT://127.0.0.1:", 1)[1].split(",", 1)[0]
        self.address = f"127.0.0.1:{port}"
        self._process = self._run(jars, settings)
        self._await_listener(int(port))
        return self.address

    def stop(self) -> None:
        """End Kafka by SIGTERM."""
        assert self._process is not None
        self._process.terminate()
        self._await_end()

    def kill(self) -> None:
        """End Kafka by SIGKILL."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._await_end()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.kill()

    @property
    def _output_path(self) -> Path:
        return self.folder / "kafka.out"

    def _format(self, jars: Path, settings: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        port, controller_port = free_ports(2)
        text = _PROPERTIES.format(
            port=port, controller_port=controller_port, folder=self.folder.resolve()
        )
        fresh = settings.with_suffix(".fresh")
        fresh.write_text(text)
        line = [*_java(jars), "-Xmx256m", "kafka.tools.StorageTool", "format"]
        line += ["--cluster-id=bWlsbHJhY2UtdGVzdHMtMQ", "-c", str(fresh)]
        done = subprocess.run(
            line, capture_output=True, text=True, timeout=START_TIMEOUT, check=False
        )
        if done.returncode != 0:
            raise KafkaDidNotStartError(f"expected a formatted folder: {done.stdout}{done.stderr}")
        fresh.rename(settings)

    def _run(self, jars: Path, settings: Path) -> subprocess.Popen[bytes]:
        line = [*_java(jars), "-Xmx512m", "-Xms256m", "-XX:+UseSerialGC"]
        line += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "kafka.Kafka", str(settings)]
        with self._output_path.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-c", _WATCHER, *line],
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _await_listener(self, port: int) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        self.kill()
        said = self._output_path.read_text(errors="replace")[-4000:]
        raise KafkaDidNotStartError(f"expected a Kafka on port {port}, but it said:\n{said}")

    def _await_end(self) -> None:
        assert self._process is not None
        process, self._process = self._process, None
        assert process.stdin is not None
        try:
            process.wait(STOP_TIMEOUT)
        finally:
            process.stdin.close()  # what has not ended by now is killed by its watcher
            process.wait(STOP_TIMEOUT)


@contextmanager
def real_kafka(folder: Path) -> Iterator[str]:
    """Yield the address of the Kafka from the environment, or of one started in `folder`."""
    given = os.environ.get(ADDRESS_VARIABLE)
    if given:
        yield given
        return
    with RealKafka(folder) as kafka:
        yield kafka.address


def why_absent() -> str | None:
    """Return why no real Kafka can be used here, or None: the reason that a skip gives."""
    if os.environ.get(ADDRESS_VARIABLE):
        return None
    if shutil.which("java") is None:
        return f"no java on this machine and {ADDRESS_VARIABLE} is not set"
    if shutil.which("mvn") is None and not _jars_folder().exists():
        return f"no mvn on this machine to fetch Kafka with and {ADDRESS_VARIABLE} is not set"
    return None


def fetched_jars() -> Path:
    """Return the folder of Kafka's jars, fetched when they are not there yet."""
    jars = _jars_folder()
    jars.parent.mkdir(parents=True, exist_ok=True)
    with (jars.parent / f"{jars.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jars.exists():
            _fetch(jars)
    return jars


def _jars_folder() -> Path:
    cache = os.environ.get(CACHE_VARIABLE)
    root = Path(cache) if cache else Path.home() / ".cache" / "millrace-tests"
    return root / f"kafka-{VERSION}"


def _fetch(jars: Path) -> None:
    """Fetch into a folder beside and rename it: a fetch that was cut off is never used."""
    partial = jars.with_name(jars.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / "pom.xml").write_text(_POM)
    line = ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={partial}"]
    done = subprocess.run(
        line, cwd=partial, capture_output=True, text=True, timeout=FETCH_TIMEOUT, check=False
    )
    if done.returncode != 0:
        raise KafkaDidNotStartError(f"expected Kafka's jars from mvn: {done.stdout}{done.stderr}")
    partial.rename(jars)


def _java(jars: Path) -> list[str]:
    return ["java", "-cp", f"{jars}/*"]
