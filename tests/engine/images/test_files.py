"""Images of files: whatever is in them, a defined answer."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import signal
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

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
from engine.images.decoders import Decoders, decode_files
from engine.images.digests import digests
from engine.images.files import FileImages
from engine.images.source import NO_FILE, Geometry, PassingError, Pixels, digest_of
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


def of_timm(image: Image.Image, geometry: Geometry) -> Pixels:
    transform = create_transform(
        (3, geometry.size, geometry.size),
        interpolation=geometry.interpolation,
        crop_pct=geometry.crop,
        crop_mode=geometry.mode,
        mean=(0, 0, 0),
        std=(1, 1, 1),
    )
    return np.asarray((transform(image) * 255).round().to(torch.uint8))


LONG = ((400, 10), (1201, 30), (410, 10), (10, 999), (1300, 30), (30, 3001), (3000, 31), (1, 300), (300, 1))


@pytest.mark.parametrize("shape", LONG)
@pytest.mark.parametrize("mode", ["center", "squash"])
def test_long_images_are_those_of_timm_or_nearly(shape: tuple[int, int], mode: str) -> None:
    grid = np.random.default_rng(5).integers(0, 255, (max(shape[1] // 8, 2), max(shape[0] // 8, 2), 3))
    image = Image.fromarray(grid.astype(np.uint8)).resize(shape, Image.Resampling.BICUBIC)
    data = io.BytesIO()
    image.save(data, "png")
    for geometry in (Geometry(224, 0.875, mode=mode), Geometry(96, 0.9, "bilinear", mode)):
        ours = prepare(decode(data.getvalue()), geometry).astype(int)
        difference = np.abs(ours - of_timm(image, geometry))
        # Beyond 40:1 only a centre that is cut may be a part of a pixel off.
        assert difference.max() <= (8 if mode == "center" and max(shape) > 40 * min(shape) + 1 else 0)
        assert difference.mean() < 2


@pytest.mark.parametrize("mode", ["center", "squash"])
@pytest.mark.parametrize("shape", [(1, 200_000), (200_000, 1), (3, 5000), (1, 2_100_001)])
def test_very_long_images_take_no_more_memory_than_others(shape: tuple[int, int], mode: str) -> None:
    data = io.BytesIO()
    Image.new("RGB", shape, (9, 200, 9)).save(data, "png")
    pixels = prepare(decode(data.getvalue()), Geometry(32, mode=mode))
    assert abs(int(pixels[1].mean()) - 200) < 3


def test_sixteen_bit_grey_keeps_its_shades(tmp_path: Path) -> None:
    shades = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (64, 1))
    data = save(tmp_path / "grey.png", Image.fromarray(shades))
    assert len(np.unique(prepare(decode(data), Geometry(64)))) > 40


def deep(bits: int, shape: tuple[int, int] = (64, 64)) -> np.ndarray:
    """Return a ramp of grey over all that so many bits hold."""
    return np.tile(np.linspace(0, 2**bits - 1, shape[1]).round().astype(np.uint16), (shape[0], 1))


def png_stating(image: np.ndarray, bits: int) -> bytes:
    """Return a PNG of 16-bit grey whose sBIT states fewer bits."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, "PNG")
    whole, chunk = data.getvalue(), b"sBIT" + bytes([bits])
    stated = struct.pack(">I", 1) + chunk + struct.pack(">I", zlib.crc32(chunk))
    at = whole.index(b"IDAT") - 4
    return whole[:at] + stated + whole[at:]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_deep_grey_is_scaled_by_the_depth_that_it_has(tmp_path: Path, bits: int, kind: str) -> None:
    shades = deep(bits)
    data = save(tmp_path / "grey", Image.fromarray(shades), format=kind)
    expected = np.floor(shades.astype(np.float64) * 255 / (2**bits - 1))
    assert np.abs(np.asarray(decode(data), np.float64)[..., 0] - expected).max() <= 1
    assert decode(data).getextrema()[0] == (0, 255)


def test_a_depth_that_a_file_states_is_taken(tmp_path: Path) -> None:
    dark = deep(12) // 20  # its greatest value, 204, would be that of 8 bits
    assert decode(png_stating(dark, 12)).getextrema()[0] == (0, 12)
    spread = deep(12) * 16  # as PNG asks for: twelve bits at the upper end
    assert decode(png_stating(spread, 12)).getextrema()[0][1] == 254
    data = save(tmp_path / "max.tif", Image.fromarray(dark), tiffinfo={281: 4095})
    assert decode(data).getextrema()[0] == (0, 12)


def test_grey_in_floating_point_up_to_one_is_not_black(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    data = save(tmp_path / "float.tif", Image.fromarray(ramp))
    assert np.abs(np.asarray(decode(data), float)[..., 0] - ramp * 255).max() <= 1
    data = save(tmp_path / "float255.tif", Image.fromarray(ramp * 255))
    assert np.abs(np.asarray(decode(data), float)[..., 0] - ramp * 255).max() <= 1


def test_a_photograph_of_108_megapixels_is_read_and_the_limit_can_be_moved(tmp_path: Path) -> None:
    data = save(tmp_path / "large.png", Image.new("1", (12_000, 9_000)))
    assert decode(data).size == (12_000, 9_000)
    with pytest.raises(UnreadableError, match=r"more than 1,000,000 pixels.*--largest-image"):
        decode(data, 1_000_000)
    with pytest.raises(UnreadableError, match="178,956,970 pixels"):
        decode(png_that_claims(16_000, 12_000))
    save(tmp_path / "small.png")
    for largest, lost in (
        (108_000_000, []),
        (107_999_999, ["large.png"]),
        (6_299, ["large.png", "small.png"]),
    ):
        pool = Decoders(1, largest)
        images = opened(tmp_path, pool)
        read = images.read(np.arange(2), [])
        pool.close()
        assert [images.files[at] for at in read.unreadable] == lost


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


@contextmanager
def ending_who_is_stuck(number: signal.Signals) -> Iterator[None]:
    stop = threading.Event()

    def end() -> None:
        while not stop.wait(0.1):
            for child in psutil.Process().children():
                if blocked_in_open(child) and not stop.wait(0.2) and blocked_in_open(child):
                    child.send_signal(number)

    ending = threading.Thread(target=end)
    ending.start()
    try:
        yield
    finally:
        stop.set()
        ending.join()


def test_an_image_on_which_the_decoder_dies_is_left_out_and_the_others_are_not(tmp_path: Path) -> None:
    if not Path("/proc/self/syscall").exists():
        pytest.skip("this system does not tell what a process waits for")
    for name in ("1", "3"):
        save(tmp_path / f"{name}.png")
    os.mkfifo(tmp_path / "2.png")  # opening it waits for ever: then the process is ended
    pool = Decoders(1)
    with ending_who_is_stuck(signal.SIGSEGV):
        read = pool.read(tmp_path, ["1.png", "2.png", "3.png"], [Geometry(16)])
    assert list(read.unreadable) == [1] and "crashes" in read.unreadable[1]
    # The system kills for want of memory: that says nothing of the image.
    with ending_who_is_stuck(signal.SIGKILL), pytest.raises(PassingError, match=r"2\.png"):
        pool.read(tmp_path, ["1.png", "2.png", "3.png"], [Geometry(16)])
    pool.close()


def test_digests_are_kept_and_follow_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("engine.images.digests.SETTLING_SECONDS", 0)
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
    expected = opened(folder, pool).read(everything, geometries)
    decoded: list[str] = []
    original = pool.read

    def counting(root: Path, files: list[str], wanted: list[Geometry], contents: list[str]) -> object:
        decoded.extend(files)
        return original(root, files, wanted, contents)

    monkeypatch.setattr(pool, "read", counting)

    def check(new: list[str]) -> None:
        decoded.clear()
        read = KeptImages(opened(folder, pool), tmp_path / "crops").read(everything, geometries)
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
    expected = opened(folder, pool).read(everything, geometries)
    check(["c.png", "d.png"])
    pool.close()


def test_a_torn_image_is_torn_with_kept_crops_too(tmp_path: Path, decoders: Decoders) -> None:
    save(tmp_path / "whole.png")
    (tmp_path / "torn.png").write_bytes(save(tmp_path / "torn.png")[:99])
    plain = opened(tmp_path, decoders)
    kept = KeptImages(plain, tmp_path / "crops")
    for geometries in ([], [Geometry(16)]):
        torn = kept.read(np.arange(2), geometries).unreadable
        assert torn.keys() == {plain.files.index("torn.png")}
        assert torn == plain.read(np.arange(2), geometries).unreadable


def test_what_could_not_be_read_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("engine.images.digests.SETTLING_SECONDS", 0)
    content = save(tmp_path / "a.png")

    def denied(path: Path, root: Path) -> bytes:
        raise UnreadableError("it may not be read")

    with monkeypatch.context() as patch:  # root may read everything, so chmod shows nothing here
        patch.setattr("engine.images.digests.read_bytes", denied)
        assert digests(tmp_path, ["a.png"]) == [NO_FILE]
    assert digests(tmp_path, ["a.png"]) == [hashlib.sha256(content).hexdigest()]


def same_size_and_time(path: Path, data: bytes, *, in_place: bool) -> None:
    """Replace a file as `cp -p` does in place, or as `rsync -t` does by another one."""
    before = path.stat()
    target = path if in_place else path.with_suffix(".new")
    target.write_bytes(data)
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    target.replace(path)
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize("in_place", [True, False])
def test_a_file_replaced_with_its_size_and_time_kept_is_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoders: Decoders, in_place: bool
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("engine.images.digests.SETTLING_SECONDS", 0)
    folder, everything, geometry = tmp_path / "images", np.arange(1), Geometry(16)
    folder.mkdir()
    red, blue = (Image.new("RGB", (20, 20), colour) for colour in ((250, 0, 0), (0, 0, 250)))
    save(folder / "a.bmp", red)
    KeptImages(opened(folder, decoders), tmp_path / "crops").read(everything, [geometry])
    time.sleep(0.02)  # one tick of the file system's clock
    same_size_and_time(folder / "a.bmp", save(tmp_path / "blue.bmp", blue), in_place=in_place)
    again = KeptImages(opened(folder, decoders), tmp_path / "crops")
    assert again.digests(everything) == [hashlib.sha256((folder / "a.bmp").read_bytes()).hexdigest()]
    assert again.read(everything, [geometry]).pixels[geometry][0, 2].mean() == 250


def test_every_part_of_a_digests_key_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("engine.images.digests.SETTLING_SECONDS", 0)
    for name in ("a.png", "b.png"):
        save(tmp_path / name)
    read: list[Path] = []
    original = decoding.read_bytes
    monkeypatch.setattr("engine.images.digests.read_bytes", lambda p, r: read.append(p) or original(p, r))
    stat = Path.stat

    def reads(name: str, **changes: int) -> bool:
        def changed(path: Path, **options: bool) -> object:
            about = stat(path, **options)
            fields = {n: getattr(about, n) for n in dir(about) if n.startswith("st_")}
            if path.name == name:
                fields |= {n: fields[n] + more for n, more in changes.items()}
            return SimpleNamespace(**fields)

        read.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "stat", changed)
            digests(tmp_path, [name])
        return bool(read)

    assert reads("a.png") and not reads("a.png")
    assert reads("b.png")  # the path
    for part in ("st_size", "st_mtime_ns", "st_ctime_ns", "st_ino"):
        assert reads("a.png", **{part: 1}), part
        assert reads("a.png") and not reads("a.png")


def test_a_file_that_has_just_changed_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second change within one tick of the clock would leave size and all times as they are."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save(tmp_path / "a.png")
    read: list[Path] = []
    original = decoding.read_bytes
    monkeypatch.setattr("engine.images.digests.read_bytes", lambda p, r: read.append(p) or original(p, r))
    for _ in range(2):
        digests(tmp_path, ["a.png"])
    assert len(read) == 2


def test_every_part_of_the_key_of_kept_crops_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoders: Decoders
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        save(folder / f"{number}.png")
    decoded: list[str] = []
    original, small = decoders.read, Geometry(16)

    def counting(root: Path, files: list[str], *rest: object) -> object:
        decoded.extend(files)
        return original(root, files, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(decoders, "read", counting)

    def decodes(geometry: Geometry = small, name: str = "mine", largest: int = 10**6) -> bool:
        decoded.clear()
        monkeypatch.setattr(decoders, "largest", largest)
        images = FileImages(ood_folder(name, str(folder)), decoders)
        KeptImages(images, tmp_path / "crops").read(np.arange(len(images.files)), [geometry])
        return bool(decoded)

    assert decodes() and not decodes()
    assert decodes(name="other") and decodes(largest=10**7)
    for geometry in (
        Geometry(24),
        Geometry(16, 0.9),
        Geometry(16, 1.0, "bilinear"),
        Geometry(16, mode="squash"),
    ):
        assert decodes(geometry) and not decodes(geometry), geometry
    for part in decoding.made_by():
        with monkeypatch.context() as patch:
            changed = {**decoding.made_by(), part: "another"}
            patch.setattr("engine.images.crops.made_by", lambda changed=changed: changed)
            assert decodes(), part
    assert {"pillow", "libjpeg_turbo", "zlib", "webp", "decode"} <= decoding.made_by().keys()
    save(folder / "3.png")  # another number of images
    assert decodes()


def test_pixels_are_of_the_content_that_the_sweep_began_with(tmp_path: Path, decoders: Decoders) -> None:
    for name in ("changed.png", "kept.png", "late.png"):
        save(tmp_path / name)
    late = (tmp_path / "late.png").read_bytes()
    (tmp_path / "late.png").write_bytes(b"")
    images, everything = opened(tmp_path, decoders), np.arange(3)
    images.digests(everything)
    save(tmp_path / "changed.png", Image.new("RGB", (30, 30), "red"))
    (tmp_path / "late.png").write_bytes(late)
    read = images.read(everything, [Geometry(16)])
    assert read.unreadable.keys() == {0, 2}
    assert "not what it was" in read.unreadable[0] and "when the sweep began" in read.unreadable[2]


def test_a_lack_of_memory_is_never_the_images_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = save(tmp_path / "one.png")

    def fail(error: Exception) -> None:
        def raising(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(decoding, "to_rgb", raising)

    for error in (MemoryError(), OSError("out of memory error when reading image file")):
        fail(error)
        with pytest.raises(MemoryError):
            decode(data)
        with pytest.raises(PassingError, match=r"memory.*one\.png"):
            decode_files(tmp_path, [("one.png", "")], [Geometry(16)])
    fail(OSError("broken data stream when reading image file"))
    with pytest.raises(UnreadableError):
        decode(data)


def test_decoders_that_cannot_start_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "one.png")

    def no_process(*_: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    pool = Decoders(1)
    with monkeypatch.context() as patch:
        patch.setattr("multiprocessing.popen_spawn_posix.Popen.__init__", no_process)
        with pytest.raises(PassingError, match="no process can decode"):
            pool.read(tmp_path, ["one.png"], [Geometry(16)])
    assert not pool.read(tmp_path, ["one.png"], [Geometry(16)]).unreadable
    pool.close()
