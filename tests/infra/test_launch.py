"""What a process does before it serves."""

import resource

from infra.launch import allow_many_files


def test_all_files_that_the_system_allows_are_used() -> None:
    """A shell's small default does not limit connections and stores."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), most))
    try:
        allow_many_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))
