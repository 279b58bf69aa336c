from __future__ import annotations

import errno
import fcntl
import json
from pathlib import Path

import pytest
from PIL import Image

from engine import catalog
from engine.datasets.discover import discover
from engine.doctor import places
from tests.engine.doctor.surroundings import file, make_weights, python


def test_a_folder_that_can_be_made_is_good_and_is_not_made(tmp_path: Path) -> None:
    place = tmp_path / "not" / "yet"
    found = places.judge_folder("sessions", place, "elsewhere", locks=True)
    assert str(place) in found.found and "GiB free" in found.found and "cannot" not in found.found
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = places.shutil.disk_usage(tmp_path)
    for free, level in ((10**10, "good"), (10**9, "warning"), (10**7, "bad")):
        monkeypatch.setattr(places.shutil, "disk_usage", lambda _path, free=free: usage._replace(free=free))
        assert places.judge_folder("cache", tmp_path, "elsewhere").level == level


@pytest.mark.parametrize(
    ("kind", "level"), [("nfs4", "warning"), ("fuse.sshfs", "warning"), ("ext4", "good")]
)
def test_sessions_on_a_network_file_system_are_a_warning(
    kind: str, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "file_system", lambda _place, _mounts: kind)
    monkeypatch.setattr(places, "LITTLE_DISK", 0)
    found = places.judge_folder("sessions", tmp_path, "elsewhere", locks=True)
    assert found.level == level and (kind in found.found) == (level == "warning")
    assert places.judge_folder("cache", tmp_path, "elsewhere").level == "good"


def test_the_innermost_mount_counts() -> None:
    mounts = [("/", "ext4"), ("/home", "xautofs"), ("/home", "nfs4"), ("/home/x/fast", "xfs")]
    assert places.file_system(Path("/home/x/s"), mounts) == "nfs4"
    assert places.file_system(Path("/home/x/fast/s"), mounts) == "xfs"
    assert places.file_system(Path("/homes"), mounts) == "ext4"


def test_weights_that_are_all_there_are_good_and_offline_changes_what_to_do(tmp_path: Path) -> None:
    script = "from engine.doctor import findings, places; print(findings.document(places.weights()))"
    offline = python("-c", script, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    [found] = json.loads(offline.stdout)["findings"]
    assert found["level"] == "warning" and "unset HF_HUB_OFFLINE" in found["do"]
    for tag in catalog.STUDY_MODELS:
        make_weights(tmp_path, tag)
    complete = json.loads(python("-c", script, HF_HOME=str(tmp_path)).stdout)["findings"]
    assert [f["level"] for f in complete] == ["good"] and "5 of the study's 5" in complete[0]["found"]


def test_weights_that_cannot_be_downloaded_for_want_of_a_place_are_said() -> None:
    script = "from engine.doctor import findings, places; print(findings.document(places.weights()))"
    ran = python("-c", script, HF_HOME="/dev/null/hf", HF_HUB_OFFLINE="0")
    missing, place = json.loads(ran.stdout)["findings"]
    assert missing["level"] == "warning" and place["level"] == "bad" and "HF_HOME" in place["do"]


def test_the_cache_that_is_really_used_is_named(tmp_path: Path) -> None:
    script = "from engine.doctor import findings, places; print(findings.document(places.weights()))"
    given = {
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "1",
    }
    [found] = json.loads(python("-c", script, **given).stdout)["findings"]
    assert str(tmp_path / "cache") in found["found"] and "HF_HUB_CACHE relocates it" in found["do"]


@pytest.mark.parametrize(("name", "level"), [("locks", "warning"), ("rights", "bad")])
def test_sessions_are_tried_as_the_program_writes_them(
    name: str, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without locks a session can be written, as leases keep engines apart; without rights it cannot."""
    monkeypatch.setattr(places, "LITTLE_DISK", 0)
    refused = {
        "locks": OSError(errno.ENOLCK, "No locks available"),
        "rights": OSError(errno.EACCES, "denied"),
    }

    def flock(file: object, how: int) -> None:
        number = file if isinstance(file, int) else file.fileno()  # type: ignore[attr-defined]
        if Path(f"/proc/self/fd/{number}").readlink().is_relative_to(tmp_path):
            raise refused[name]
        real(number, how)

    real = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", flock)
    found = places.judge_folder("sessions", tmp_path, "elsewhere", locks=True)
    assert found.level == level and not list(tmp_path.iterdir())


def save(path: Path) -> None:
    Image.new("RGB", (8, 8), "teal").save(path, "PNG")


def test_the_sets_of_a_data_root_are_those_of_data_check_and_what_cannot_be_read_is_bad(
    tmp_path: Path,
) -> None:
    assert places.data_root(tmp_path)[0].level == "warning"  # empty
    (tmp_path / "a").mkdir()
    file(tmp_path / "shards.tar", "")
    [found] = places.data_root(tmp_path)
    assert found.level == "warning" and "no image set" in found.found and "qood-tui data check" in found.do
    save(tmp_path / "a" / "1.png")
    (tmp_path / "imagenet" / "val").mkdir(parents=True)
    save(tmp_path / "imagenet" / "val" / "ILSVRC2012_val_00000001.JPEG")
    [found] = places.data_root(tmp_path)
    expected = [f"{name} ({one.role}, {len(one.members)} images)" for name, one in discover(tmp_path).items()]
    assert len(expected) == 2 and found.level == "good"
    assert all(words in found.found for words in expected)
    (tmp_path / "a" / "gone.jpg").symlink_to(tmp_path / "nothing")
    [found] = places.data_root(tmp_path)
    assert found.level == "warning" and "gone.jpg" in found.found
    for given in (tmp_path / "none", file(tmp_path / "file", ""), Path("~nobody-of-that-name/x")):
        [found] = places.data_root(given)
        assert found.level == "bad" and str(given) in found.found and found.do
