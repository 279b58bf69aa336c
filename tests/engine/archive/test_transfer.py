from __future__ import annotations

import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import report
from engine.archive import transfer
from engine.archive.transfer import export, import_file
from engine.errors import InputError
from engine.plan.plan import preset
from engine.protocol.events import ChunkFinished
from engine.session import archive_file, notes, store
from engine.session.layout import JOURNAL
from engine.session.place import Folder
from engine.session.session import Session
from engine.session.writer import Writer

Change = Callable[[zipfile.ZipFile], None]
LINK = (stat.S_IFLNK | 0o777) << 16


def files(folder: Path) -> dict[str, bytes]:
    return {part.name: (folder / part.name).read_bytes() for part in Folder(folder).files()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def exported(copied: Path, tmp_path: Path) -> Path:
    """Return a session as a file."""
    return export(copied, tmp_path / "one.qood").file


def packed(source: Path, target: Path, change: Change) -> Path:
    """Return a file with everything that is in another, and what `change` adds."""
    shutil.copy(source, target)
    with zipfile.ZipFile(target, "a") as made:
        change(made)
    return target


def test_what_comes_back_is_the_session_to_the_last_byte(recorded: Path, tmp_path: Path, root: Path) -> None:
    made = export(recorded, tmp_path / "x.qood", quantized=True)
    imported = import_file(made.file, root)
    assert imported.session == root / recorded.name and not imported.was_there
    assert files(imported.session) == files(recorded)
    assert any(name.startswith("quantized/") for name in files(imported.session))
    assert not [path for path in root.iterdir() if path != imported.session]


def test_the_report_of_what_comes_back_has_the_same_numbers(
    exported: Path, recorded: Path, root: Path
) -> None:
    there = report.document(Session.at(import_file(exported, root).session))
    here = report.document(Session.at(recorded))
    assert (there.variants, there.deltas, there.by_bits) == (here.variants, here.deltas, here.by_bits)


def test_journal_note_and_arrays_alone_go_unless_more_is_asked_for(copied: Path, tmp_path: Path) -> None:
    notes.write(copied, "mine")
    (copied / "outputs").mkdir()
    (copied / "outputs" / "x.npy").write_bytes(b"0")
    for passing in (
        "reserve",
        "journal.jsonl.torn",
        "lease",
        f"lease-{'0' * 32}",
        "arrays/x.partial",
        "mine.txt",
    ):
        (copied / passing).write_bytes(b"0")
    (copied / "arrays" / "elsewhere.npy").symlink_to("/etc/passwd")

    def of(**wanted: bool) -> set[str]:
        file = export(copied, tmp_path / "x.qood", force=True, **wanted).file
        names = {name.removeprefix(f"{copied.name}/") for name in zipfile.ZipFile(file).namelist()}
        return {name.partition("/")[0] for name in names}

    assert of() == {"journal.jsonl", "note.txt", "arrays"}
    assert of(quantized=True, outputs=True) == {"journal.jsonl", "note.txt", "arrays", "quantized", "outputs"}
    listed = zipfile.ZipFile(tmp_path / "x.qood").namelist()
    assert not [name for name in listed if "elsewhere" in name or "partial" in name or "mine.txt" in name]


def test_the_same_session_gives_the_same_bytes(copied: Path, tmp_path: Path) -> None:
    first = export(copied, tmp_path / "a.qood").file.read_bytes()
    for part in Folder(copied).files():
        os.utime(copied / part.name, (1, 1))
        (copied / part.name).chmod(0o644)
    assert export(copied, tmp_path / "b.qood").file.read_bytes() == first


def test_a_file_that_is_there_is_replaced_only_by_force(copied: Path, tmp_path: Path) -> None:
    (tmp_path / "x.qood").write_text("mine")
    with pytest.raises(InputError, match="--force"):
        export(copied, tmp_path / "x.qood")
    assert (tmp_path / "x.qood").read_text() == "mine"
    assert export(copied, tmp_path / "x.qood", force=True).size > 1000
    with pytest.raises(InputError, match="folder"):
        export(copied, tmp_path / "none" / "x.qood")


def test_a_running_session_goes_up_to_its_last_whole_line(tmp_path: Path, root: Path) -> None:
    session = store.create(preset("quick"), (), tmp_path, "quick")
    writer = Writer(session)
    writer.append(ChunkFinished(0, 5, 0.1, {}))
    with (session / JOURNAL).open("ab") as file:
        file.write(b'{"seq":2,"t":1.0,"ev')
    made = export(session, tmp_path / "x.qood")
    writer.abandon()
    assert made.is_ahead
    read = Session.at(import_file(made.file, root).session)
    header, entries, reader = read.header, read.entries, read.journal
    assert header.plan == preset("quick") and len(entries) == 1
    assert reader.torn == reader.skipped == 0
    assert not (root / session.name / "reserve").exists()
    made = export(session, tmp_path / "y.qood")
    assert not made.is_ahead and made.torn == len(b'{"seq":2,"t":1.0,"ev')


def test_a_last_line_longer_than_a_block_is_found_to_be_torn(tmp_path: Path) -> None:
    session = store.create(preset("quick"), (), tmp_path, "quick")
    whole = (session / JOURNAL).stat().st_size
    with (session / JOURNAL).open("ab") as file:
        file.write(b"x" * (transfer.BLOCK * 2 + 5))
    assert export(session, tmp_path / "x.qood").torn == transfer.BLOCK * 2 + 5
    with zipfile.ZipFile(tmp_path / "x.qood") as made:
        assert made.getinfo(f"{session.name}/journal.jsonl").file_size == whole


def test_a_name_is_never_taken_twice(exported: Path, copied: Path, root: Path, tmp_path: Path) -> None:
    first = import_file(exported, root)
    assert import_file(exported, root) == (first.session, True)
    assert import_file(exported, root, "other").session == root / "other"
    notes.write(copied, "another")
    changed = export(copied, tmp_path / "changed.qood").file
    assert import_file(changed, root).session == root / f"{copied.name}-2"
    with pytest.raises(InputError, match="--name"):
        import_file(changed, root, "other")
    for name in ("demo", "../x", "/x", ".x", "a b", "", "x" * 101, "-x", "a/b", "x.qood", "\x1b[31m"):
        with pytest.raises(InputError, match="name"):
            import_file(exported, root, name)
    assert len(list(root.iterdir())) == 3


def test_a_session_that_ships_is_imported_under_another_name(tmp_path: Path, root: Path) -> None:
    made = export(store.find("demo"), tmp_path / "demo.qood")
    assert import_file(made.file, root).session == root / "demo-imported"


def refused(file: Path, root: Path, *words: str) -> None:
    """Import what is no session: told in words, with nothing left behind."""
    before = sorted(path for path in root.parent.rglob("*"))
    with pytest.raises(InputError) as told:
        import_file(file, root)
    message = str(told.value)
    assert all(word in message for word in words), message
    assert message.isprintable() and str(root / ".import") not in message
    made = set(root.parent.rglob("*")) - set(before) - {root}
    assert not made


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../outside.npy",
        "{}/../../outside.npy",
        "{}/arrays/../../../outside.npy",
        "{}/arrays/..\\outside.npy",
        "C:\\outside.npy",
        "{}/arrays/C:x.npy",
        "{}//arrays/x.npy",
        "{}/./journal.jsonl",
        "{}/arrays/x.npy/y.npy",
        "{}/arrays/.npy",
        "{}/arrays/-x.npy",
        "{}/arrays/x.pkl",
        "{}/arrays/\x1b[31m.npy",
        "{}/arrays/" + "x" * 300 + ".npy",
        "{}/lease",
        "{}/reserve",
        "{}/quantized/x.pth",
        "{}/setup.py",
        "{}/",
        "{}/arrays/",
        "journal.jsonl",
        "other/arrays/x.npy",
        "{}/arrays/\u0430.npy",
    ],
)
def test_a_member_of_another_name_is_refused(name: str, exported: Path, root: Path, tmp_path: Path) -> None:
    folder = zipfile.ZipFile(exported).namelist()[0].partition("/")[0]
    file = packed(exported, tmp_path / "bad.qood", lambda made: made.writestr(name.format(folder), b"x"))
    refused(file, root, "bad.qood")


def test_a_name_that_ends_in_a_null_is_refused(exported: Path, root: Path, tmp_path: Path) -> None:
    folder = zipfile.ZipFile(exported).namelist()[0].partition("/")[0]
    wanted = f"{folder}/arrays/x.npy".encode()
    file = packed(
        exported, tmp_path / "bad.qood", lambda made: made.writestr(f"{folder}/arrays/x.npyX.py", b"x")
    )
    data = file.read_bytes().replace(wanted + b"X.py", wanted + b"\0.py")
    file.write_bytes(data)
    refused(file, root, "no file of a session has this name")


def member(name: str, **given: int) -> Change:
    """Return a change that adds a member with something of its own."""

    def change(made: zipfile.ZipFile) -> None:
        folder = made.namelist()[0].partition("/")[0]
        info = zipfile.ZipInfo(f"{folder}/{name}", transfer.EPOCH)
        for field, value in given.items():
            setattr(info, field, value)
        made.writestr(info, b"/etc/passwd")

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (member("arrays/x.npy", external_attr=LINK, create_system=3), "link"),
        (member("arrays/x.npy", external_attr=(stat.S_IFIFO | 0o600) << 16, create_system=3), "plain file"),
        (member("arrays/x.npy", external_attr=(stat.S_IFDIR | 0o700) << 16, create_system=3), "plain file"),
        (member("arrays/x.npy", compress_type=zipfile.ZIP_BZIP2), "deflate"),
        (member("arrays/x.npy", compress_type=zipfile.ZIP_LZMA), "deflate"),
        (member("arrays/MSP.npy"), "twice"),
        (member("note.txt", compress_type=zipfile.ZIP_STORED), None),
    ],
)
def test_links_other_kinds_and_names_in_other_letters_are_refused(
    change: Change, words: str | None, exported: Path, root: Path, tmp_path: Path
) -> None:
    file = packed(exported, tmp_path / "bad.qood", change)
    if words is None:  # the same way with nothing wrong in it is taken
        assert notes.read(Folder(import_file(file, root).session)) == "/etc/passwd"
    else:
        refused(file, root, words)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused(exported: Path, root: Path, tmp_path: Path) -> None:
    refused(packed(exported, tmp_path / "bad.qood", member("journal.jsonl")), root, "twice")


def test_an_encrypted_member_is_refused(exported: Path, root: Path) -> None:
    data = bytearray(exported.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    exported.write_bytes(data)
    refused(exported, root, "encrypted")


def test_many_files_are_refused(exported: Path, root: Path, tmp_path: Path) -> None:
    def many(made: zipfile.ZipFile) -> None:
        for number in range(archive_file.MOST_FILES):
            member(f"arrays/x{number}.npy")(made)

    refused(packed(exported, tmp_path / "bad.qood", many), root, "5,000")


def test_a_bomb_is_refused_before_it_goes_off(
    exported: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_file, "LEAST_BOMB", 64 << 20)

    def bomb(made: zipfile.ZipFile) -> None:
        folder = made.namelist()[0].partition("/")[0]
        for number in range(3):
            info = zipfile.ZipInfo(f"{folder}/arrays/x{number}.npy")
            info.compress_type, info.file_size = zipfile.ZIP_DEFLATED, 40 << 20
            with made.open(info, "w") as file:
                for _ in range(40):
                    file.write(bytes(1 << 20))

    refused(packed(exported, tmp_path / "bad.qood", bomb), root, "MiB")


@pytest.mark.parametrize("claimed", [5, 5_000_000])
def test_sizes_that_are_not_what_is_in_it_are_refused(claimed: int, exported: Path, root: Path) -> None:
    name = zipfile.ZipFile(exported).namelist()[1].encode()
    data = bytearray(exported.read_bytes())
    at = data.rindex(name) - 46  # its entry in the directory at the end
    assert data[at : at + 4] == b"PK\x01\x02"
    data[at + 24 : at + 28] = claimed.to_bytes(4, "little")
    exported.write_bytes(data)
    refused(exported, root, "one.qood")


def test_what_does_not_fit_on_the_disk_is_refused(
    exported: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "SPARE", 1 << 60)
    refused(exported, root, "disk", "free")


def test_a_journal_that_cannot_be_used_is_refused(copied: Path, root: Path, tmp_path: Path) -> None:
    file = tmp_path / "bad.qood"
    for content, words in (
        (b"", "damaged"),
        (b"\x80\x04pickle\n", "damaged"),
        (b'{"format":"qood-session","version":99,"app":"qood-tui 9.0"}\n', "9.0"),
        (b"[" * 100_000 + b"\n", "damaged"),
        (b"\x1b]0;owned\x07\n", "damaged"),
    ):
        with zipfile.ZipFile(file, "w") as made:
            made.writestr("x/journal.jsonl", content)
        refused(file, root, words)


def test_no_session_at_all_is_refused(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.qood"
    for content in (b"", b"no zip", b"PK\x05\x06" + bytes(18)):
        file.write_bytes(content)
        refused(file, root, "x.qood")
    with pytest.raises(InputError, match="no such file"):
        import_file(tmp_path / "none.qood", root)
    with pytest.raises(InputError):
        import_file(tmp_path, root)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="plain file"):
        import_file(tmp_path / "pipe", root)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_damaged_file_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, recorded: Path, data: st.DataObject
) -> None:
    place = tmp_path_factory.mktemp("damaged")
    file = export(recorded, place / "x.qood").file
    content = bytearray(file.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        directory = content.index(b"PK\x01\x02")
        for _ in range(data.draw(st.integers(1, 4))):
            start = data.draw(st.sampled_from((0, directory)))
            content[data.draw(st.integers(start, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    try:
        imported = import_file(file, place / "sessions")
    except InputError as error:
        assert str(error).isprintable()
        assert not (place / "sessions").exists() or not list((place / "sessions").iterdir())
    else:
        taken = {name: found for name, found in files(recorded).items() if not name.startswith("quantized/")}
        assert files(imported.session).items() <= taken.items()
    assert {path.name for path in place.iterdir()} <= {"x.qood", "sessions"}
