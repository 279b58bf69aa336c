"""Fixtures: a home of its own for every run, and one real session that many tests read."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is imported: threads of several test processes that wait for each other's cores spin.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def home() -> Iterator[Path]:
    """Move sessions, logs, sockets and the cache away from the user's own, and stop the engine after."""
    home = Path(tempfile.mkdtemp(prefix="qood-"))
    before = dict(os.environ)
    os.environ.update(
        QOOD_SESSIONS=str(home / "sessions"),
        QOOD_LOGS=str(home / "logs"),
        QOOD_RUNTIME=str(home / "run"),
        QOOD_STATE=str(home / "state"),
        QOOD_CONFIG=str(home / "config.toml"),
        XDG_CACHE_HOME=os.environ.get("QOOD_TEST_CACHE", str(home / "cache")),
        COLORTERM="truecolor",
        TERM="xterm-256color",
    )
    for name in ("NO_COLOR", "COLUMNS", "LINES"):  # the last two are set for processes that share the tests
        os.environ.pop(name, None)
    yield home
    from engine.service import client

    client.stop()
    os.environ.clear()
    os.environ.update(before)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def recorded(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished session of two models at three bit settings, swept by the real engine.

    Test processes that run side by side share one sweep; each has a copy among its own sessions.
    """
    from tests.running import small_plan, sweep

    if "PYTEST_XDIST_WORKER" not in os.environ:
        return sweep(small_plan())
    shared = tmp_path_factory.getbasetemp().parent / "recorded"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (swept := [path for path in shared.iterdir() if path.is_dir()]):
            session = sweep(small_plan())
            partial = shared.with_name("recorded.partial")
            shutil.copytree(session, partial, ignore=shutil.ignore_patterns("lease*"))
            partial.rename(shared / session.name)
            return session
    copy = home / "sessions" / swept[0].name
    copy.parent.mkdir(mode=0o700, exist_ok=True)
    shutil.copytree(swept[0], copy)
    return copy


@pytest.fixture
def copied(recorded: Path, tmp_path: Path) -> Path:
    """Return a copy of the recorded session that a test may damage."""
    copy = tmp_path / recorded.name
    shutil.copytree(recorded, copy, ignore=shutil.ignore_patterns("lease*"))
    return copy


@pytest.fixture(scope="session")
def reference() -> Path:
    """Return the folder of reference values; skip where it is absent."""
    folder = SHARED / "reference"
    if not folder.is_dir():
        pytest.skip(f"the reference values are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def photographs() -> Path:
    """Return the folder of sample photographs; skip where it is absent."""
    folder = SHARED / "data" / "imagenet-sample"
    if not folder.is_dir():
        pytest.skip(f"the sample photographs are not at {folder}")
    return folder
