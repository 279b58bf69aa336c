"""The folders that are read and written: space, permissions, locks and contents."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import psutil
from platformdirs import user_cache_path

from engine import catalog
from engine.datasets.discover import discover
from engine.doctor.findings import Finding, short
from engine.errors import InputError, QoodError
from engine.plan.plan import preset
from engine.protocol.messages import Status
from engine.service import client
from engine.session import store
from engine.session.writer import NO_LOCKS, Writer
from engine.system import runtime
from engine.system.paths import sessions_folder
from engine.text import in_bytes

NETWORK_FILE_SYSTEMS = ("nfs", "lustre", "fuse.sshfs", "cifs", "smb", "beegfs")
LITTLE_DISK, NO_DISK = 2 * 2**30, 100 * 2**20  # bytes


def folders() -> list[Finding]:
    """Check the folders of sessions, of the cache and of the engine."""
    store, cache = sessions_folder(), user_cache_path("qood-tui")
    return [
        judge_folder("sessions", store, "set QOOD_SESSIONS to a folder on a local disk", locks=True),
        judge_folder("cache", cache, "set XDG_CACHE_HOME to a folder elsewhere"),
        engine(),
    ]


def engine() -> Finding:
    """Check that an engine in the background can be reached, by trying lock and socket."""
    try:
        folder = runtime.usable_folder()
    except OSError as error:
        found = f"no folder can be used to reach it: {error.strerror or error}"
        return Finding("bad", "engine", found, client.ELSEWHERE)
    reply = client.call(Status())
    runs = f"running as process {reply.process}, version {reply.version}" if reply else "not running"
    found = f"{runs}; it is reached in {short(folder)}"
    if folder != (wanted := runtime.wanted()):
        reason = runtime.fault(wanted)
        why = f" ({reason.strerror or reason})" if reason else ""
        found += f", since {short(wanted)} cannot be used{why}"
        return Finding("warning", "engine", found, client.ELSEWHERE)
    return Finding("good", "engine", found)


def judge_folder(name: str, place: Path, elsewhere: str, locks: bool = False) -> Finding:
    """Check that a folder can be made and written, has space and, if needed, working locks."""
    there = next(p for p in (place, *place.absolute().parents) if os.access(p, os.F_OK))
    free = shutil.disk_usage(there).free
    kind = file_system(there.resolve(), [(d.mountpoint, d.fstype) for d in psutil.disk_partitions(all=True)])
    found = f"{in_bytes(free)} free in {short(place)}"
    try:
        if locks:
            _try_session(there)
        with tempfile.TemporaryFile(dir=there) as file:
            if locks:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except QoodError as error:
        return Finding(
            "bad", name, f"{short(place)} cannot be used: {error}", f"make it writable, or {elsewhere}"
        )
    except OSError as error:
        if locks and error.errno in NO_LOCKS:
            found += ", which has no locks: two engines are kept apart by leases only"
            return Finding("warning", name, found, elsewhere)
        found = f"{short(place)} cannot be used: {error.strerror}"
        return Finding("bad", name, found, f"make it writable, or {elsewhere}")
    if free < LITTLE_DISK:
        return Finding("bad" if free < NO_DISK else "warning", name, found, f"make space, or {elsewhere}")
    if locks and kind.startswith(NETWORK_FILE_SYSTEMS):
        found += f", a network file system ({kind}), where locks may not keep two engines apart"
        return Finding("warning", name, found, elsewhere)
    return Finding("good", name, found)


def _try_session(folder: Path) -> None:
    """Make a session and write to it, as an engine does."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        Writer(store.create(preset("demo"), (), Path(made))).abandon()


def file_system(place: Path, mounts: Iterable[tuple[str, str]]) -> str:
    """Return the type of the file system that a resolved path lies on."""
    around = [(len(point), kind) for point, kind in mounts if place.is_relative_to(point)]
    return sorted([(0, ""), *around], key=lambda mount: mount[0])[-1][1]  # of equal ones, the last is on top


def weights() -> list[Finding]:
    """Look for the study's models in the Hugging Face cache."""
    from huggingface_hub import constants, try_to_load_from_cache

    paths = {tag: try_to_load_from_cache(f"timm/{tag}", "model.safetensors") for tag in catalog.STUDY_MODELS}
    missing = [tag for tag, path in paths.items() if not isinstance(path, str)]
    cache, offline = Path(constants.HF_HUB_CACHE), constants.HF_HUB_OFFLINE
    found = f"{len(paths) - len(missing)} of the study's {len(paths)} models are in {short(cache)}"
    found += " (HF_HUB_OFFLINE is set)" if offline else ""
    if not missing:
        return [Finding("good", "weights", found)]
    found += f"; missing: {', '.join(missing)}"
    named = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
    mover = next((name for name in named if os.environ.get(name)), "HF_HOME")
    do = f"copy that folder from a machine that has them ({mover} relocates it), or give checkpoint files"
    if offline:
        return [Finding("warning", "weights", found, f"unset HF_HUB_OFFLINE to download them, {do}")]
    do = f"each is downloaded on first use (90 MB); without a network, {do}"
    place = judge_folder("weights", cache, f"set {mover} to a folder elsewhere")
    return [Finding("warning", "weights", found, do), *([place] if place.level != "good" else [])]


def data_root(root: Path) -> list[Finding]:
    """List the image sets below a folder, as 'data check' finds them, without reading images."""
    try:
        found = discover(root)
    except InputError as error:
        do = "give the folder whose subfolders are the image sets"
        return [Finding("bad", "data", f"{root} cannot be read: {error.right}", do)]
    more = f"qood-tui data check {shlex.quote(str(root))}"
    if not found:
        do = f"unpack image sets there; {more} lists what was skipped"
        return [Finding("warning", "data", f"{root} holds no image set", do)]
    sets = ", ".join(f"{name} ({one.role}, {len(one.members):,} images)" for name, one in found.items())
    problems = {path: reason for one in found.values() for path, reason in one.problems.items()}
    if problems:
        path, reason = next(iter(problems.items()))
        return [
            Finding("warning", "data", f"in {root}: {sets}; {path}: {reason}", f"{more} lists all problems")
        ]
    return [Finding("good", "data", f"in {root}: {sets}")]
