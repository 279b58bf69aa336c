from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from engine import report
from engine.archive.verify import verify
from engine.errors import EngineError
from engine.images.array_images import ArrayImages
from engine.images.image_set import Geometry
from engine.images.sets import Sets
from engine.measure.table import measure_variant
from engine.models.loaded import LoadedModel, normalise
from engine.plan.plan import Plan
from engine.scores import scorers
from engine.session.arrays import LONG, Arrays, ArrayWriter, layout
from engine.session.layout import ARRAYS
from engine.session.place import Folder
from engine.session.session import Session
from engine.sweep.calibration import CalibratedVariant
from engine.sweep.chunk import Chunk
from tests.journals import forge
from tests.running import small_plan

MANY, IMAGES, SIDE = 70_000, 12, 32
GEOMETRY = Geometry(SIDE)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    """Return a model of more classes than 16 bits can count."""
    torch.manual_seed(3)
    model = timm.create_model("test_vit.r160_in1k", pretrained=False, img_size=SIDE, num_classes=MANY).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return LoadedModel(model, GEOMETRY, (0.5,) * 3, (0.5,) * 3, MANY, "here", "")


@pytest.fixture(scope="module")
def sets(loaded: LoadedModel) -> Sets:
    """Return an ID set whose labels are ranked everywhere among the classes, and an OOD set."""
    random = np.random.default_rng(4)
    pixels = random.integers(0, 255, (2, IMAGES, SIDE, SIDE, 3), np.uint8)
    order = np.argsort(-logits_of(loaded, pixels[0]), axis=1)
    labels = order[np.arange(IMAGES), np.linspace(0, MANY - 1, IMAGES).astype(int)]
    of_id = ArrayImages("many", "", "id", pixels[0], labels)
    of_ood = ArrayImages("noise", "", "ood", pixels[1], np.full(IMAGES, -1))
    which = np.repeat([0, 1], IMAGES)
    return Sets([of_id, of_ood], which, np.tile(np.arange(IMAGES), 2), [IMAGES] * 2, [], None)


def logits_of(loaded: LoadedModel, pixels: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        given = normalise(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()), loaded)
        return loaded.model(given).double().numpy()


def plan_of_many() -> Plan:
    return small_plan(models=("own",), bits=("FP32",), ood_sets=("noise",), scores=("msp",), headline="msp")


def test_labels_ranked_beyond_16_bits_count_like_any_other(
    loaded: LoadedModel, sets: Sets, tmp_path: Path
) -> None:
    plan = plan_of_many()
    chunk = Chunk(plan, sets, 0, [GEOMETRY], torch.device("cpu"))
    chunk.load()
    (variant,) = plan.variants()
    chunk.score(
        0, CalibratedVariant(variant, loaded.model, loaded, "", {"msp": scorers.scorer("msp", None)}), IMAGES
    )
    ArrayWriter(tmp_path, plan, 2 * IMAGES, MANY).write(0, chunk.parts)

    logits, labels = logits_of(loaded, sets.sets[0].images), sets.sets[0].labels  # type: ignore[attr-defined]
    at_label = logits[np.arange(IMAGES), labels]
    rows = Arrays(Folder(tmp_path), plan).first(2 * IMAGES)
    ranks = rows.values("rank", 0, 0)
    assert ranks.max() > 2 * np.iinfo(np.int16).max
    assert ranks.tolist() == (logits > at_label[:, None]).sum(1).tolist()
    found = measure_variant(rows, 0, (), MANY)
    nll = np.log(np.exp(logits).sum(1)) - at_label
    assert found.value("top1") == pytest.approx(1 / IMAGES, abs=1e-6)  # only the first label is ranked first
    assert found.value("nll") == pytest.approx(nll.mean(), abs=1e-4)


def test_a_type_is_wider_only_where_a_model_needs_it(tmp_path: Path) -> None:
    plan = plan_of_many()
    for classes, wanted in ((10, "<i2"), (32_767, "<i2"), (32_768, "<i4"), (MANY, "<i4")):
        session = tmp_path / str(classes)
        session.mkdir()
        ArrayWriter(session, plan, 3, classes)
        assert np.load(session / ARRAYS / "rank.npy").dtype == np.dtype(wanted)
        assert Arrays(Folder(session), plan).array("rank").dtype == np.dtype(wanted)


def test_rows_are_not_put_into_an_array_of_another_type(tmp_path: Path) -> None:
    plan = plan_of_many()
    ArrayWriter(tmp_path, plan, 3, 10)
    before = (tmp_path / ARRAYS / "rank.npy").read_bytes()
    chunk = {name: np.zeros((3, n), dtype) for name, (dtype, n) in layout(plan, LONG).items()}
    with pytest.raises(EngineError, match=r"rank\.npy: it holds int16 instead of int32"):
        ArrayWriter(tmp_path, plan, 3, MANY, finished=1).write(0, chunk)
    assert (tmp_path / ARRAYS / "rank.npy").read_bytes() == before


def test_ranks_recorded_in_too_few_bits_are_told(copied: Path) -> None:
    shutil.rmtree(copied / "quantized")
    assert verify(Folder(copied)).is_whole

    def more_classes(event: dict[str, object]) -> None:
        if event["type"] == "variant.ready":
            event["classes"] = 40_000

    forge(copied, more_classes)
    damage = verify(Folder(copied), quick=True).damage
    assert any("ranks of labels: the journal says among 40,000 classes" in line for line in damage)
    assert any(
        "40,000 classes" in line for line in report.document(Session.at(copied), quick=True).mismatches
    )
