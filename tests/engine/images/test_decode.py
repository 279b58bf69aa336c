"""From a file's content to pixels: those of timm, whatever is in it."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

from engine import catalog
from engine.images.decode import decode, prepare
from engine.images.image_set import Geometry, Pixels
from engine.models.loaded import LoadedModel, normalise
from tests.engine.images.albums import save


@pytest.mark.parametrize("tag", [*catalog.STUDY_MODELS, "vit_base_patch16_siglip_224.webli"])
def test_preprocessing_is_timms_to_the_last_bit(tag: str, photographs: Path) -> None:
    config = resolve_model_data_config(None, {"pretrained_cfg": timm.get_pretrained_cfg(tag).to_dict()})
    config.pop("input_size_fixed", None)
    transform = create_transform(**config, is_training=False)
    geometry = Geometry(
        config["input_size"][1], config["crop_pct"], config["interpolation"], config["crop_mode"]
    )
    of_model = LoadedModel(None, geometry, config["mean"], config["std"], 1000, "", tag)  # type: ignore[arg-type]
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
