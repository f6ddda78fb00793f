"""Start a real Elasticsearch (one node) from Maven Central's test distribution.

The zip is fetched and unpacked once into a cache folder outside the tree (`MILLRACE_TEST_CACHE`,
else `~/.cache/millrace-tests`), under a file lock, because test processes run side by side. When
`MILLRACE_TEST_ELASTICSEARCH` holds a URL, that server is used and none is started.

Elasticsearch refuses to run as root: root's tests run it as `nobody`, from a cache folder that
`nobody` can reach. Without java or mvn the tests are skipped with that reason; with them, an
Elasticsearch that does not start is an error: a skip would hide it.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.ports import free_ports

VERSION = "8.19.5"
ADDRESS_VARIABLE = "MILLRACE_TEST_ELASTICSEARCH"
CACHE_VARIABLE = "MILLRACE_TEST_CACHE"
FETCH_TIMEOUT = 600.0
START_TIMEOUT = 120.0
STOP_TIMEOUT = 30.0

_ARTIFACT = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{VERSION}:zip"
_SETTINGS = """discovery.type: single-node
http.host: 127.0.0.1
http.port: {port}
transport.host: 127.0.0.1
transport.port: {transport_port}
xpack.security.enabled: false
cluster.routing.allocation.disk.threshold_enabled: false
path.data: {folder}/data
path.logs: {folder}/logs
"""


class ElasticsearchDidNotStartError(RuntimeError):
    """Java is there, but no Elasticsearch came up."""


class RealElasticsearch:
    """One Elasticsearch on one data folder: started, stopped, killed and started again."""

    def __init__(self) -> None:
        self.folder = _world_reachable(Path(tempfile.mkdtemp(prefix="millrace-elasticsearch-")))
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start Elasticsearch and return its URL once it answers; the port stays on a restart."""
        assert self._process is None, "expected a stopped Elasticsearch, but it runs"
        home = unpacked_home()
        settings = self.folder / "config" / "elasticsearch.yml"
        if not settings.exists():
            self._configure(home, settings)
        port = int(settings.read_text().split("http.port: ", 1)[1].split("\n", 1)[0])
        self.url = f"http://127.0.0.1:{port}"
        self._process = self._run(home)
        self._await_answer()
        return self.url

    def stop(self) -> int:
        """End Elasticsearch by SIGTERM and return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """End Elasticsearch by SIGKILL and return its exit code."""
        return self._end(signal.SIGKILL)

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
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _output_path(self) -> Path:
        return self.folder / "elasticsearch.out"

    def _configure(self, home: Path, settings: Path) -> None:
        shutil.copytree(home / "config", settings.parent, dirs_exist_ok=True)
        port, transport_port = free_ports(2)
        settings.write_text(
            _SETTINGS.format(port=port, transport_port=transport_port, folder=self.folder)
        )
        for name in ("data", "logs", "temporary"):
            (self.folder / name).mkdir(exist_ok=True)
        if os.geteuid() == 0:
            for path in (self.folder, *self.folder.rglob("*")):
                shutil.chown(path, "nobody", "nogroup")

    def _run(self, home: Path) -> subprocess.Popen[bytes]:
        java = Path(os.path.realpath(shutil.which("java") or "java"))
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.folder),
            "ES_JAVA_HOME": str(java.parent.parent),
            "ES_PATH_CONF": str(self.folder / "config"),
            "ES_TMPDIR": str(self.folder / "temporary"),
            "ES_JAVA_OPTS": "-Xms512m -Xmx512m",
        }
        line = [str(home / "bin" / "elasticsearch")]
        if os.geteuid() == 0:
            nobody = ["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
            line = ["setpriv", *nobody, "--pdeathsig", "TERM", *line]
        elif shutil.which("setpriv") is not None:  # Java ends with the tests
            line = ["setpriv", "--pdeathsig", "TERM", *line]
        with self._output_path.open("ab") as output:
            return subprocess.Popen(
                line,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _await_answer(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT
        health = f"{self.url}/_cluster/health?wait_for_status=yellow&timeout=1s"
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(health, timeout=5) as answer:
                    if answer.status == 200:
                        return
            except (OSError, urllib.error.URLError):
                time.sleep(0.1)
        self.kill()
        said = self._output_path.read_text(errors="replace")[-4000:]
        raise ElasticsearchDidNotStartError(f"expected an answer at {self.url}, but:\n{said}")

    def _end(self, number: signal.Signals) -> int:
        """Signal the launcher and its Java: both are in a session of their own."""
        assert self._process is not None
        process, self._process = self._process, None
        try:
            os.killpg(process.pid, number)
            return process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        except ProcessLookupError:
            return process.wait(STOP_TIMEOUT)


@contextmanager
def real_elasticsearch() -> Iterator[str]:
    """Yield the URL of the Elasticsearch from the environment, or of one that is started."""
    given = os.environ.get(ADDRESS_VARIABLE)
    if given:
        yield given
        return
    with RealElasticsearch() as server:
        yield server.url


def why_absent() -> str | None:
    """Return why no real Elasticsearch can be used here, or None: the reason of a skip."""
    if os.environ.get(ADDRESS_VARIABLE):
        return None
    if shutil.which("java") is None:
        return f"no java on this machine and {ADDRESS_VARIABLE} is not set"
    if shutil.which("mvn") is None and not _home().exists():
        return f"no mvn to fetch Elasticsearch with and {ADDRESS_VARIABLE} is not set"
    return None


def unpacked_home() -> Path:
    """Return the folder of the distribution, fetched when it is not there yet."""
    home = _home()
    _world_reachable_parents(home)
    with (home.parent / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            _fetch(home)
    return home


def _home() -> Path:
    return _cache() / f"elasticsearch-{VERSION}"


def _cache() -> Path:
    """Return the cache folder; for root one that another user can reach."""
    given = os.environ.get(CACHE_VARIABLE)
    usual = Path(given) if given else Path.home() / ".cache" / "millrace-tests"
    if os.geteuid() != 0 or given or _is_reachable(usual):
        return usual
    return Path(tempfile.gettempdir()) / "millrace-tests-cache"


def _is_reachable(folder: Path) -> bool:
    existing = [path for path in (folder, *folder.parents) if path.exists()]
    return all(path.stat().st_mode & 0o001 for path in existing)


def _world_reachable(folder: Path) -> Path:
    folder.chmod(0o755)
    return folder


def _world_reachable_parents(home: Path) -> None:
    if not home.parent.exists():
        home.parent.mkdir(parents=True)
        _world_reachable(home.parent)


def _fetch(home: Path) -> None:
    """Fetch and unpack beside and rename: a fetch that was cut off is never used."""
    partial = home.with_name(home.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    fetch = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={_ARTIFACT}"]
    fetch.append(f"-DoutputDirectory={partial}")
    unpack = ["unzip", "-q", f"{partial}/elasticsearch-{VERSION}.zip", "-d", str(partial)]
    for line in (fetch, unpack):
        done = subprocess.run(
            line, cwd=partial, capture_output=True, text=True, timeout=FETCH_TIMEOUT, check=False
        )
        if done.returncode != 0:
            said = f"{done.stdout}{done.stderr}"
            raise ElasticsearchDidNotStartError(f"expected {line[0]} to succeed: {said}")
    (partial / f"elasticsearch-{VERSION}").rename(home)
    _world_reachable(partial)
    shutil.rmtree(partial, ignore_errors=True)
