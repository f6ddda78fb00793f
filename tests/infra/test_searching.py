"""The search of a node: whose group is whose."""

from pathlib import Path

from infra.searching import own_group


def test_nodes_without_a_name_do_not_share_a_group(tmp_path: Path) -> None:
    """Each follows all of `events` into its own file; the same folder goes on in the same group."""
    one, two = own_group("", tmp_path / "one"), own_group("", tmp_path / "two")
    assert one != two
    assert own_group("", tmp_path / "two" / ".." / "one") == one
    assert own_group("node-1", tmp_path / "one").startswith("node-1-")


def test_nodes_of_one_name_do_not_share_a_group(tmp_path: Path) -> None:
    """Each would have half of the runs in its file."""
    assert own_group("node", tmp_path / "one") != own_group("node", tmp_path / "two")
