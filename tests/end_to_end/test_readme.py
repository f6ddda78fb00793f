"""The README's example does what it says."""

import subprocess
import sys
from pathlib import Path

from tests.support.millrace_server import PROJECT, MillraceServer


def test_the_ten_lines_run(own_server: MillraceServer, tmp_path: Path) -> None:
    """As a file of their own, against a server that runs."""
    code = (PROJECT / "README.md").read_text().split("```python\n")[1].split("```")[0]
    file = tmp_path / "hello.py"
    file.write_text(code.replace("127.0.0.1:7233", own_server.start()))
    ended = subprocess.run(
        [sys.executable, str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout == "Hello, you!\n", ended.stderr
