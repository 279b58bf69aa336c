from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine import report
from engine.archive.redact import redact
from engine.catalog import DEMO_OOD
from engine.errors import InputError, JournalError
from engine.protocol.events import (
    VERSION,
    BatchSized,
    Entry,
    ImageUnreadable,
    Logged,
    ModelLoaded,
    SessionClosed,
    SetsPrepared,
    VariantReady,
    WeightsTaken,
    WorkerDied,
    WorkerStarted,
)
from engine.service import client
from engine.session import notes, store
from engine.session.layout import JOURNAL, NOTE
from engine.session.place import Folder
from engine.session.seal import is_whole, sealed
from engine.session.session import Session
from tests.real import photographs_like
from tests.running import small_plan, sweep

SECRETS = ("orchid-lab", "patient-7", "kdv2-s3cr3t", "xeonish", "GPU-1234-abcd", "teslaish", "deadbeef" * 8)
USER, HOST, TOKEN = "quillon-user", "zephyr-host", "t0ken-9f8e7d6c5b"


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a real sweep with an own folder below a home of its own, by an engine of its own."""
    place = tmp_path_factory.mktemp("private")
    home = place / USER
    photographs_like(home / "scans", 24, seed=1, side=40)
    (home / "scans" / "patient-7.jpg").write_text("no image")
    before = dict(os.environ)
    os.environ.update(
        HOME=str(home),
        USER=USER,
        LOGNAME=USER,
        HOSTNAME=HOST,
        QOOD_SECRET=TOKEN,
        QOOD_RUNTIME=str(place / "run"),
        QOOD_LOGS=str(home / "logs"),
        XDG_CACHE_HOME=os.environ["XDG_CACHE_HOME"],
    )
    try:
        plan = small_plan(ood_sets=(DEMO_OOD[0], "orchid-lab"), ood_images=20, models=("vit-narrow",))
        yield sweep(plan, {"orchid-lab": str(home / "scans")})
    finally:
        client.stop()
        os.environ.clear()
        os.environ.update(before)


def contents(session: Path) -> bytes:
    """Return every byte of a session, names of files included."""
    names = "\n".join(str(path.relative_to(session)) for path in session.rglob("*"))
    return names.encode() + b"".join((session / part.name).read_bytes() for part in Folder(session).files())


def test_nothing_of_user_host_home_or_environment_is_in_a_session(private: Path) -> None:
    events = [entry.event for entry in Session.at(private).entries]
    assert isinstance(events[-1], SessionClosed) and events[-1].outcome == "finished"
    assert any(isinstance(event, ImageUnreadable) for event in events)
    found = contents(private)
    assert b"orchid-lab" in found and b"patient-7.jpg" in found  # what a session does say
    home = str(Path(os.environ["QOOD_LOGS"]).parent)
    there = [word for word in (USER, HOST, TOKEN, home, "logs", "/scans") if word.encode() in found]
    assert not there
    host = socket.gethostname()
    assert len(host) < 4 or host.encode() not in found


def with_secrets(session: Path) -> None:
    """Write names that say something into every kind of event that may have one; the seals are right."""
    path = session / JOURNAL
    read = Session.at(session)
    header, entries = read.header, read.entries
    old = "vit-narrow"

    def renamed(data: bytes) -> bytes:
        return data.replace(old.encode(), b"kdv2-s3cr3t")

    header = msgspec.json.decode(renamed(msgspec.json.encode(header)), type=type(header))
    header = msgspec.structs.replace(header, identity=header.plan.identity())
    shutil.rmtree(session / "quantized", ignore_errors=True)
    writer_lines = [msgspec.json.encode(header, order="deterministic")]
    more = [
        Logged("warning", "fit set: patient-7.jpg of ward.jpg left out: it is empty"),
        Logged("info", "orchid-lab: labels from patient-7.txt"),
        Logged("info", "read scans/patient-7.png (orchid-lab/patient-7.png); kdv2-s3cr3t W4A4 on xeonish"),
        BatchSized(0, 1, "teslaish GPU-1234-abcd is out of memory"),
        WorkerDied("kdv2-s3cr3t: /home/x/patient-7.pth", True),
    ]
    events = []
    for entry in entries[:-1]:
        event = entry.event
        if isinstance(event, WorkerStarted):
            versions = {**event.versions, "processor": "xeonish"}
            event = msgspec.structs.replace(
                event, versions=versions, accelerators={"GPU-1234-abcd": "teslaish"}
            )
        if isinstance(event, ModelLoaded):
            taken = WeightsTaken("entry 'patient-7'", beside=("kdv2-s3cr3t",), notes=("ward.jpg",))
            event = msgspec.structs.replace(
                event, origin="file patient-7.pth", digest="deadbeef" * 8, weights=taken
            )
        if isinstance(event, VariantReady):
            event = msgspec.structs.replace(event, digest="deadbeef" * 8)
        if isinstance(event, SetsPrepared):
            changed = tuple(
                msgspec.structs.replace(
                    s, label="patient-7 scans", digest="deadbeef" * 8, notes=("patient-7",)
                )
                if s.name == "orchid-lab"
                else s
                for s in event.sets
            )
            event = msgspec.structs.replace(event, sets=changed)
        events.append(event)
    events[2:2] = more
    data = sealed(writer_lines[0])
    for number, event in enumerate(events, 1):
        data += sealed(renamed(msgspec.json.encode(Entry(number, float(number), event))))
    closing = SessionClosed(
        "failed", "patient-7.jpg: the disk is gone", len(events), hashlib.sha256(data).hexdigest()
    )
    data += sealed(msgspec.json.encode(Entry(len(events) + 1, float(len(events) + 1), closing)))
    path.write_bytes(data)


@pytest.fixture
def telling(private: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "orchid-lab-run"
    shutil.copytree(private, copy)
    with_secrets(copy)
    notes.write(copy, "of patient-7")
    return copy


def test_no_secret_is_left_and_every_number_is(telling: Path, tmp_path: Path) -> None:
    assert all(secret.encode() in contents(telling) for secret in SECRETS)
    target = tmp_path / "out" / "public"
    assert redact(telling, target.parent, "public") == {"sets": 1, "models": 1, "images": 33, "unknown": 0}
    found = contents(target)
    assert not [secret for secret in (*SECRETS, "scans", "ward", "/home") if secret.encode() in found]
    for name in ("samples", "msp", "nll"):
        assert (target / f"arrays/{name}.npy").read_bytes() == (telling / f"arrays/{name}.npy").read_bytes()
    there, here = report.document(Session.at(target)), report.document(Session.at(telling))
    numbers = msgspec.json.encode(
        (here.variants, here.deltas, here.by_bits, here.calibrations[0].seed)
    ).decode()
    numbers = numbers.replace("kdv2-s3cr3t", "model-1").replace("orchid-lab", "set-1")
    assert json.loads(numbers) == json.loads(
        msgspec.json.encode((there.variants, there.deltas, there.by_bits, there.calibrations[0].seed))
    )
    assert {row.model for row in there.variants} == {"model-1"}
    assert [one.name for one in there.images] == ["fractals", DEMO_OOD[0], "set-1"]
    assert not (target / "quantized").exists() and not (target / NOTE).exists()


def test_a_redacted_journal_is_whole(telling: Path, tmp_path: Path) -> None:
    redact(telling, tmp_path, "public")
    read = Session.at(tmp_path / "public")
    header, entries, reader = read.header, read.entries, read.journal
    before = Session.at(telling)
    assert reader.skipped == reader.torn == reader.unknown == 0
    assert [entry.t for entry in entries] == [entry.t for entry in before.entries]
    assert header.identity == header.plan.identity() and header.id != before.header.id
    assert header.folders == ("set-1",) and header.created == before.header.created
    lines = (tmp_path / "public" / JOURNAL).read_bytes().splitlines(keepends=True)
    assert all(map(is_whole, lines))
    closed = entries[-1].event
    assert isinstance(closed, SessionClosed) and closed.events == len(entries) - 1
    assert closed.sha256 == hashlib.sha256(b"".join(lines[:-1])).hexdigest()


def test_the_same_name_has_the_same_stand_in_everywhere(telling: Path, tmp_path: Path) -> None:
    redact(telling, tmp_path, "public", time=True)
    read = Session.at(tmp_path / "public")
    header, entries = read.header, read.entries
    assert header.created.startswith("1970-01-01T00:00")
    events = [entry.event for entry in entries]
    broken = next(event for event in events if isinstance(event, ImageUnreadable))
    texts = [event.text for event in events if isinstance(event, Logged)]
    assert broken.set == "set-1" and broken.name.startswith("image-")
    assert "fit set: an image left out: it is empty" in texts
    assert any("model-1 W4A4 on processor" in text for text in texts)
    died = next(event for event in events if isinstance(event, WorkerDied))
    assert died.reason == "model-1: (a name)"
    (sized,) = (event for event in events if isinstance(event, BatchSized) and event.reason)
    assert sized.reason == "GPU gpu-1 is out of memory"


def test_published_names_and_digests_stay(recorded: Path, tmp_path: Path) -> None:
    redact(recorded, tmp_path, "public")
    before, after = ([e.event for e in Session.at(s).entries] for s in (recorded, tmp_path / "public"))
    kinds = (ModelLoaded, VariantReady)
    assert [e for e in after if isinstance(e, kinds)] == [e for e in before if isinstance(e, kinds)]
    sets = [next(e for e in events if isinstance(e, SetsPrepared)).sets for events in (before, after)]
    assert sets[0] == sets[1]


def test_short_names_do_not_change_words_that_are_no_names(private: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(private, copy)
    lines = (copy / JOURNAL).read_bytes().splitlines()
    changed = [json.loads(line.replace(b'"orchid-lab"', b'"info"')) for line in lines]
    for line in changed:
        line.pop("crc")
    data = [json.dumps(line, separators=(",", ":")).encode() for line in changed]
    (copy / JOURNAL).write_bytes(b"".join(map(sealed, data)))
    redact(copy, tmp_path, "public")
    events = [entry.event for entry in Session.at(tmp_path / "public").entries]
    assert not [event for event in events if isinstance(event, Logged) and event.level != "info"]
    assert report.document(Session.at(tmp_path / "public")).plan.ood_sets[1] == "set-1"


def test_fields_and_words_of_a_newer_program_do_not_slip_through(copied: Path, tmp_path: Path) -> None:
    path = copied / JOURNAL
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    for line in lines:
        line.pop("crc")
        event = line.get("event", {})
        if event.get("type") == "sets.prepared":
            event["sets"][0]["patient"] = "kdv2-s3cr3t"
        if event.get("type") == "worker.started":
            event["owner"] = event["versions"]["host"] = "kdv2-s3cr3t"
        if event.get("type") == "phase.changed":
            event["phase"] = "kdv2-s3cr3t"
        if event.get("type") == "telemetry":
            line["event"] = {"type": "patient.seen", "name": "kdv2-s3cr3t"}
    path.write_bytes(b"".join(sealed(json.dumps(line, separators=(",", ":")).encode()) for line in lines))
    unknown = sum(line.get("event", {}).get("type") == "patient.seen" for line in lines)
    assert unknown and redact(copied, tmp_path, "public")["unknown"] == unknown
    assert b"kdv2-s3cr3t" in contents(copied) and b"kdv2-s3cr3t" not in contents(tmp_path / "public")


def test_what_is_damaged_or_in_the_way_is_refused(copied: Path, tmp_path: Path) -> None:
    for name in (copied.name, "../x", "demo"):
        with pytest.raises(InputError):
            redact(copied, tmp_path, name)
    path = copied / JOURNAL
    path.write_bytes(
        path.read_bytes().replace(b'"n_id"', b'"n_xx"').replace(b"chunk.finished", b"chunk.finishes", 1)
    )
    with pytest.raises(JournalError, match="redacted"):
        redact(copied, tmp_path, "public")
    assert not [p for p in tmp_path.iterdir() if p.name.startswith((".", "public"))]


def test_formats_of_before_are_redacted_into_the_present_one(tmp_path: Path) -> None:
    redact(store.find("demo"), tmp_path, "public")
    read = Session.at(tmp_path / "public")
    entries, reader = read.entries, read.journal
    assert reader.version == VERSION and not reader.skipped
    assert len(entries) == len(Session.at(store.find("demo")).entries)
