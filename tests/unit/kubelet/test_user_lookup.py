"""Users by name, from an image's own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelet.user_lookup import UnknownUser, User, resolve_user


@pytest.fixture
def layers(tmp_path: Path) -> list[str]:
    for name, passwd in (("low", "web:x:1:1::/:\n"), ("high", "web:x:1000:1000::/home/web:\n")):
        (tmp_path / name / "etc").mkdir(parents=True)
        (tmp_path / name / "etc" / "passwd").write_text(passwd)
    (tmp_path / "high" / "etc" / "group").write_text("web:x:1000:\nstaff:x:50:web\n")
    return [str(tmp_path / "low"), str(tmp_path / "high")]


def test_the_topmost_layer_counts_and_brings_the_groups(layers: list[str]) -> None:
    assert resolve_user("web", None, layers) == User(1000, 1000, [50], "/home/web")
    assert resolve_user("web", "staff", layers) == User(1000, 50, [50], "/home/web")


def test_a_number_needs_no_entry(layers: list[str]) -> None:
    assert resolve_user(4242, None, layers) == User(4242, 0, [], "/")
    assert resolve_user(1000, None, layers) == User(1000, 1000, [50], "/home/web")


def test_an_unknown_name_is_an_error(layers: list[str]) -> None:
    with pytest.raises(UnknownUser, match="unable to find user ghost"):
        resolve_user("ghost", None, layers)
    with pytest.raises(UnknownUser, match="unable to find group ghosts"):
        resolve_user("web", "ghosts", layers)


def test_a_link_to_the_hosts_passwd_is_not_followed_out(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(UnknownUser):
        resolve_user("daemon", None, [str(tmp_path)])
