"""Images of files: whatever is in them, a defined answer."""

from __future__ import annotations

import errno
import io
import os
import shutil
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

from engine import catalog
from engine.datasets.discover import ood_folder
from engine.datasets.walk import images_below
from engine.images import decode as decoding
from engine.images.crops import KeptImages
from engine.images.decode import UnreadableError, decode, prepare, read_bytes
from engine.images.decoders import Decoders
from engine.images.digests import NO_FILE, digests
from engine.images.files import FileImages
from engine.images.source import Geometry, PassingError, digest_of
from engine.models.loaded import Loaded, normalise


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    decoders = Decoders(2)
    yield decoders
    decoders.close()


def opened(folder: Path, decoders: Decoders) -> FileImages:
    return FileImages(ood_folder("mine", str(folder)), decoders)


def save(path: Path, image: Image.Image | None = None, **options: object) -> bytes:
    image = image or Image.effect_noise((90, 70), 60).convert("RGB")
    image.save(path, **options)
    return path.read_bytes()


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(999)))


@pytest.fixture
def album(tmp_path: Path) -> Path:
    inside = tmp_path / "a b"
    inside.mkdir()
    red = Image.new("RGB", (40, 70), (200, 30, 30))
    for mode in ("RGB", "L", "RGBA", "P", "CMYK", "1", "LA"):
        extension = "JPG" if mode in ("RGB", "L", "CMYK") else "png"
        save(inside / f"{mode}.{extension}", red.convert(mode))
    save(inside / "animated.gif", red, save_all=True, append_images=[Image.new("RGB", (40, 70), "blue")])
    whole = save(tmp_path / "whole.jpeg")
    (tmp_path / "truncated.jpeg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("this is a text")
    (tmp_path / "bomb.png").write_bytes(png_that_claims(60_000, 60_000))
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_every_kind_of_file_has_its_answer(album: Path, decoders: Decoders) -> None:
    images = opened(album, decoders)
    read = images.read(np.arange(len(images.files)), [Geometry(32, 0.9)])
    reasons = {images.name_of(at): reason for at, reason in read.unreadable.items()}
    assert set(reasons) == {"truncated.jpeg", "empty.jpg", "text.jpg", "bomb.png"}
    for name, words in (
        ("truncated.jpeg", "truncated"),
        ("empty.jpg", "empty"),
        ("text.jpg", "not an image"),
        ("bomb.png", "pixels"),
    ):
        assert words in reasons[name]
    pixels = read.pixels[Geometry(32, 0.9)]
    assert (pixels[list(read.unreadable)] == 128).all()
    for name in ("a b/RGB.JPG", "a b/RGBA.png", "a b/P.png", "a b/CMYK.JPG", "a b/animated.gif"):
        red = pixels[images.files.index(name)]
        assert red[0].mean() > 180 and red[2].mean() < 60, name
    grey = pixels[images.files.index("a b/L.JPG")]
    assert (grey[0] == grey[1]).all() and 60 < grey.mean() < 110


def test_links_in_circles_and_links_to_nowhere_are_named(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    save(inside / "one.png")
    (inside / "around").symlink_to(tmp_path)
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing.jpg")
    found = ood_folder("mine", str(tmp_path))
    assert found.files == ["inside/one.png"]
    assert set(found.problems) == {"gone.jpg", "inside/around", "self.png"}
    assert "nowhere" in found.problems["gone.jpg"] and "second time" in found.problems["inside/around"]


def test_a_folder_that_may_not_be_read_is_a_problem_and_no_end() -> None:
    """Look as somebody else, since root may read everything."""
    place = Path(tempfile.mkdtemp(prefix="qood-walk-"))
    place.chmod(0o755)
    save(place / "one.png")
    (place / "closed").mkdir(mode=0)
    answer, told = os.pipe()
    child = os.fork()
    if not child:
        if os.getuid() == 0:
            os.setgroups([])
            os.setuid(65534)
        os.write(told, repr(images_below(str(place))).encode())
        os._exit(0)
    os.close(told)
    os.waitpid(child, 0)
    with os.fdopen(answer) as file:
        walked = file.read()
    shutil.rmtree(place)
    assert (
        "files=['one.png']" in walked
        and "'closed': 'the folder cannot be read (Permission denied)'" in walked
    )


def test_200_000_files_in_one_folder_are_listed_in_seconds(tmp_path: Path) -> None:
    for number in range(200_000):
        (tmp_path / f"{number}.jpg").touch()
    started = time.monotonic()
    found = ood_folder("mine", str(tmp_path))
    assert len(found.files) == 200_000 and not found.problems
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("tag", [*catalog.STUDY_MODELS, "vit_base_patch16_siglip_224.webli"])
def test_preprocessing_is_timms_to_the_last_bit(tag: str, photographs: Path) -> None:
    config = resolve_model_data_config(None, {"pretrained_cfg": timm.get_pretrained_cfg(tag).to_dict()})
    config.pop("input_size_fixed", None)
    transform = create_transform(**config, is_training=False)
    geometry = Geometry(
        config["input_size"][1], config["crop_pct"], config["interpolation"], config["crop_mode"]
    )
    of_model = Loaded(None, geometry, config["mean"], config["std"], 1000, "", tag)  # type: ignore[arg-type]
    files = sorted(photographs.rglob("*.*"))
    odd = [
        Image.effect_noise(size, 80).convert("RGB") for size in ((224, 224), (248, 248), (10, 399), (501, 37))
    ]
    images = [Image.open(file).convert("RGB") for file in files[:: 1 if tag.startswith("deit_") else 40]]
    for image in (*images, *odd):
        ours = normalise(torch.from_numpy(prepare(image, geometry).copy())[None], of_model)[0]
        assert torch.equal(ours, transform(image))


def test_what_is_decoded_is_what_pillow_decodes(photographs: Path) -> None:
    for file in sorted(photographs.rglob("*.*"))[::50]:
        np.testing.assert_array_equal(decode(file.read_bytes()), Image.open(file).convert("RGB"))


@pytest.mark.parametrize("shape", [(1, 200_000), (200_000, 1), (3, 5000)])
def test_very_long_images_take_no_more_memory_than_others(shape: tuple[int, int]) -> None:
    data = io.BytesIO()
    Image.new("RGB", shape, (9, 200, 9)).save(data, "png")
    pixels = prepare(decode(data.getvalue()), Geometry(32))
    assert abs(int(pixels[1].mean()) - 200) < 3


def test_sixteen_bit_grey_keeps_its_shades(tmp_path: Path) -> None:
    shades = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (64, 1))
    data = save(tmp_path / "grey.png", Image.fromarray(shades))
    assert len(np.unique(prepare(decode(data), Geometry(64)))) > 40


def test_an_error_that_passes_is_tried_again_and_is_never_the_images_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = save(tmp_path / "one.png")
    calls = []

    def hiccup(path: Path) -> bytes:
        calls.append(path)
        if len(calls) < 3:
            raise OSError(errno.EIO, "Input/output error")
        return whole

    monkeypatch.setattr(Path, "read_bytes", hiccup)
    assert read_bytes(tmp_path / "one.png", tmp_path, (0, 0, 0)) == whole and len(calls) == 3
    calls.clear()
    with pytest.raises(PassingError, match="Input/output error"):
        read_bytes(tmp_path / "one.png", tmp_path, (0,))


def test_a_missing_file_is_unreadable_but_a_missing_disk_is_waited_for(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    with pytest.raises(UnreadableError, match="no such file"):
        read_bytes(root / "one.png", root, ())
    root.rmdir()
    with pytest.raises(PassingError):
        read_bytes(root / "one.png", root, ())


def blocked_in_open(process: psutil.Process) -> bool:
    """Tell whether a process waits for a file to be opened (x86-64 and ARM)."""
    try:
        return Path(f"/proc/{process.pid}/syscall").read_text().startswith(("257 ", "56 "))
    except OSError:
        return False


def test_an_image_on_which_the_decoder_dies_is_left_out_and_the_others_are_not(tmp_path: Path) -> None:
    if not Path("/proc/self/syscall").exists():
        pytest.skip("this system does not tell what a process waits for")
    for name in ("1", "3"):
        save(tmp_path / f"{name}.png")
    os.mkfifo(tmp_path / "2.png")  # opening it waits for ever: then the process is killed
    pool, stop = Decoders(1), threading.Event()

    def kill_who_is_stuck() -> None:
        while not stop.wait(0.1):
            for child in psutil.Process().children():
                if blocked_in_open(child) and not stop.wait(0.2) and blocked_in_open(child):
                    child.kill()

    killer = threading.Thread(target=kill_who_is_stuck)
    killer.start()
    try:
        read = pool.read(tmp_path, ["1.png", "2.png", "3.png"], [Geometry(16)])
    finally:
        stop.set()
        killer.join()
        pool.close()
    assert list(read.unreadable) == [1] and "crashes" in read.unreadable[1]


def test_digests_are_kept_and_follow_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        save(folder / name)
    first = digests(folder, ["a.png", "b.png", "none.png"])
    assert len(set(first)) == 3 and first[2] == NO_FILE
    read: list[Path] = []
    original = decoding.read_bytes
    monkeypatch.setattr("engine.images.digests.read_bytes", lambda p, r: read.append(p) or original(p, r))
    assert digests(folder, ["a.png", "b.png"]) == first[:2] and not read
    save(folder / "b.png", Image.new("RGB", (9, 9)))
    assert digests(folder, ["a.png", "b.png"])[0] == first[0]
    assert [path.name for path in read] == ["b.png"]
    (tmp_path / "cache" / "qood-tui" / "files.sqlite").write_bytes(b"damaged" * 999)
    assert digests(folder, ["a.png"]) == first[:1]


def test_the_hash_of_a_set_is_of_contents_labels_and_order(tmp_path: Path, decoders: Decoders) -> None:
    for name in ("a.png", "b.png", "c.png"):
        save(tmp_path / name)
    images = opened(tmp_path, decoders)

    def digest(*indices: int) -> str:
        return digest_of(images.digests(np.array(indices)), images.labels[np.array(indices)])

    whole = digest(0, 1, 2)
    assert digest(0, 2, 1) != whole
    images.labels[1] = 5
    assert digest(0, 1, 2) != whole


def test_a_name_that_is_no_text_is_shown_as_text(tmp_path: Path, decoders: Decoders) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"broken")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    assert opened(tmp_path, decoders).name_of(0) == "caf\\xe9.png"


def test_kept_crops_are_the_same_pixels_and_follow_the_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        save(folder / name)
    (folder / "d.png").write_text("no image")
    pool, everything, geometries = Decoders(1), np.arange(4), [Geometry(16), Geometry(24, 0.9)]
    plain = opened(folder, pool)
    expected = plain.read(everything, geometries)
    decoded: list[str] = []
    original = pool.read

    def counting(root: Path, files: list[str], wanted: list[Geometry], present: list[bool]) -> object:
        decoded.extend(files)
        return original(root, files, wanted, present)

    monkeypatch.setattr(pool, "read", counting)

    def check(new: list[str]) -> None:
        decoded.clear()
        read = KeptImages(plain, tmp_path / "crops").read(everything, geometries)
        assert decoded == new
        assert read.unreadable.keys() == {3}
        for geometry in geometries:
            np.testing.assert_array_equal(read.pixels[geometry], expected.pixels[geometry])

    check(["a.png", "b.png", "c.png", "d.png"])
    check(["d.png"])
    for file in (tmp_path / "crops").glob("*[!s].npy"):
        array = np.lib.format.open_memmap(file, "r+")
        array[1, 0, 3, 3] ^= 1  # a torn row
        array.flush()
    check(["b.png", "d.png"])
    save(folder / "c.png", Image.new("RGB", (40, 30), "red"))
    expected = plain.read(everything, geometries)
    check(["c.png", "d.png"])
    pool.close()
