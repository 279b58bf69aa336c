"""What `data check` lists, a sweep is planned with and opens, and `doctor` says is one thing."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest
from PIL import Image
from timm.data import ImageNetInfo

from engine import catalog
from engine.commands import data
from engine.datasets.discover import discover
from engine.doctor.places import data_root
from engine.errors import FINISHED
from engine.images.decoders import Decoders
from engine.images.disk_images import DiskImages
from engine.images.sets import open_sets
from engine.plan.plan import Plan
from engine.plan.resources import Resources
from engine.service.request import settle

WNIDS = ImageNetInfo("imagenet-1k").label_names()
ONE = Image.new("RGB", (8, 8), "teal")
IMAGENET = [f"{wnid}/ILSVRC2012_val_{at:08d}.JPEG" for at, wnid in enumerate(WNIDS[300:320])]
ROOTS = {
    "beside other sets": [
        *(f"imagenet2012/val/{file}" for file in IMAGENET),
        *(f"cub200/val/albatross/{at}.jpg" for at in range(3)),
        *(f"dtd/images/banded/{at}" for at in range(3)),
    ],
    "classes in the root": [*IMAGENET, "birds/1.jfif", "birds/2.ppm", "dtd/images/banded/3.jpg", "loose.png"],
    "loose images and thumbnails": [
        *(f"sets/in1k/val/{file}" for file in IMAGENET),
        *(f"sets/{at}.jpe" for at in range(4)),
        "sets/@eaDir/1.jpg",
        "sets/more/2.webp",
        "sets/more/.ipynb_checkpoints/2.webp",
    ],
    "several folders of a name": [
        *(f"data/imagenet/val/{file}" for file in IMAGENET),
        *(f"a/textures/{at}.jpg" for at in range(2)),
        *(f"b/textures/images/{at}.jpg" for at in range(5)),
    ],
}


@pytest.mark.parametrize("kind", ROOTS)
def test_everything_that_looks_finds_the_same(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    for name in ROOTS[kind]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        ONE.save(root / name, "PNG")
    found = discover(root)
    counts = {name: len(one.members) for name, one in found.items()}
    assert counts["imagenet"] >= len(IMAGENET) and len(counts) > 1
    options = Namespace(root=root, json=True, quick=True, largest_image=catalog.LARGEST_IMAGE)
    assert data.run(options) == FINISHED
    checked = json.loads(capsys.readouterr().out)["sets"]
    assert {one["name"]: one["count"] for one in checked} == counts
    assert {one["name"]: one["notes"] for one in checked} == {n: one.notes for n, one in found.items()}
    ood = tuple(name for name, one in found.items() if one.role == "ood")
    plan = Plan(models=("test_vit.r160_in1k",), id_set="imagenet", ood_sets=ood, share=1.0,
                calibration_set="held-out", fit_set="held-out", calibration_images=1)  # fmt: skip
    settled, resources, missing = settle(plan, Resources(data=str(root)))
    assert not missing and {name: resources.counts[name] for name in ("imagenet", *ood)} == {
        name: counts[name] for name in ("imagenet", *ood)
    }
    decoders = Decoders(1)
    try:
        for images in open_sets(settled, resources, decoders).sets:
            assert isinstance(images, DiskImages) and images.members == found[images.name].members
            assert images.labels.tolist() == found[images.name].labels
            assert list(images.notes) == found[images.name].notes
    finally:
        decoders.close()
    (finding,) = data_root(root)
    assert all(
        f"{name} ({one.role}, {len(one.members)} images)" in finding.found for name, one in found.items()
    )
