"""Folders of classes have the labels that the model was trained with, or the sweep is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from timm.data import create_dataset, create_transform, resolve_model_data_config
from torchvision.datasets import ImageFolder

from engine.datasets.class_order import differences, sorted_by
from engine.datasets.discover import id_set
from engine.errors import InputError
from engine.images.decoders import Decoders
from engine.images.disk_images import DiskImages
from engine.images.sets import open_sets
from engine.plan.plan import Plan
from engine.plan.resources import Checkpoint, Resources
from engine.protocol.events import Logged, Measured, SetsPrepared
from engine.protocol.messages import Job
from engine.report.sections.guesses import guesses
from engine.service.request import settle
from engine.session import store
from engine.sweep import class_names
from engine.sweep.loaded_models import LoadedModels
from tests.real import SMALL, photographs_like, random_model
from tests.sweeping import sweep_here

BREEDS = ("ant", "Bee", "cat", "dog", "Eel", "fox", "gnu", "hen", "ibis", "jay", "kite", "lynx")
NAMES = {
    "capitals": BREEDS,
    "numbers": tuple(map(str, range(12))),
    "numbers in words": ("img12", "img10", "img2", "IMG1", "a9b10", "a9b9"),
    "accents": ("Éclair", "eclair", "zebra", "Zürich", "Ärmel", "arm"),
    "marks": ("a-b", "a_b", "A b", "ab", "B", "_b"),
    "padded": ("00", "01", "10", "02"),
    "plain": ("cat", "dog", "eel"),
}


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    decoders = Decoders(1)
    yield decoders
    decoders.close()


def put_classes(root: Path, names: tuple[str, ...], count: int = 1) -> None:
    for number, name in enumerate(names):
        photographs_like(root / name, count, number, side=40)


def by_timm(root: Path) -> dict[str, int]:
    found: dict[str, int] = create_dataset("", root=str(root)).reader.class_to_idx
    return found


def by_torchvision(root: Path) -> dict[str, int]:
    return ImageFolder(root).class_to_idx


@pytest.mark.parametrize("kind", NAMES)
def test_orders_are_those_of_timm_and_torchvision(tmp_path: Path, kind: str) -> None:
    put_classes(tmp_path, NAMES[kind])
    timms, torchvisions = by_timm(tmp_path), by_torchvision(tmp_path)
    assert sorted_by("natural", NAMES[kind]) == tuple(sorted(timms, key=timms.__getitem__))
    assert sorted_by("codepoint", NAMES[kind]) == tuple(sorted(torchvisions, key=torchvisions.__getitem__))
    assert bool(differences(NAMES[kind])) == (timms != torchvisions)
    for order, expected in (("natural", timms), ("codepoint", torchvisions)):
        one = id_set("mine", str(tmp_path), None, (), order)
        got = {path.split("/")[0]: label for path, label in zip(one.members, one.labels, strict=True)}
        assert got == expected


def test_folders_that_are_equal_to_timm_are_named() -> None:
    assert "so their order is arbitrary" in differences(("1", "01", "2"))[0]


def resources_for(tmp_path: Path, names: tuple[str, ...], count: int = 2, **changes: object) -> Resources:
    if not (tmp_path / "pets").exists():
        put_classes(tmp_path / "pets", names, count)
        photographs_like(tmp_path / "birds", 20, 99, side=40)
        torch.save(random_model(SMALL, num_classes=len(names), img_size=32).state_dict(), tmp_path / "m.pth")
    given = {
        "id": {"pets": str(tmp_path / "pets")},
        "ood": {"birds": str(tmp_path / "birds")},
        "checkpoints": {"mine": Checkpoint(str(tmp_path / "m.pth"), SMALL)},
        "devices": "cpu",
        "any_accuracy": True,
        **changes,
    }
    return Resources(**given)  # type: ignore[arg-type]


def plan_of(**changes: object) -> Plan:
    given = {
        "models": ("mine",),
        "bits": ("FP32",),
        "id_set": "pets",
        "ood_sets": ("birds",),
        "calibration_set": "held-out",
        "fit_set": "held-out",
        "scores": ("msp",),
        "calibration_images": 1,
        "share": 1.0,
        **changes,
    }
    return Plan(**given)  # type: ignore[arg-type]


def run(plan: Plan, resources: Resources, decoders: Decoders) -> list[object]:
    """Sweep in this process and return all events."""
    settled, resources, _ = settle(plan, resources)
    session = store.create(settled, resources.names(), title="here")
    events: list[object] = []
    job = Job(str(session), settled, resources, 0)
    sweep_here(job, decoders, events.append)
    return events


@pytest.mark.parametrize("names", [BREEDS, NAMES["numbers"]])
@pytest.mark.parametrize("count", [2, 9])
def test_a_sweep_is_refused_before_anything_is_computed(
    tmp_path: Path, decoders: Decoders, names: tuple[str, ...], count: int
) -> None:
    resources = resources_for(tmp_path, names, count)
    with pytest.raises(InputError) as refused:
        run(plan_of(), resources, decoders)
    timms, torchvisions = by_timm(tmp_path / "pets"), by_torchvision(tmp_path / "pets")
    at = min(timms[name] for name in names if timms[name] != torchvisions[name])
    first = [next(n for n in names if order[n] == at) for order in (timms, torchvisions)]
    said = str(refused.value)
    assert f"class {at} is {first[0]!r} (natural) or {first[1]!r} (codepoint)" in said
    assert "--class-order natural" in said and "--classes" in said


def teach(tmp_path: Path, labels: dict[str, int]) -> Callable[[list[Path]], torch.Tensor]:
    """Give the checkpoint a head that knows all images; return what timm says of files with it."""
    model = timm.create_model(SMALL, num_classes=len(labels), img_size=32).eval()
    model.load_state_dict(torch.load(tmp_path / "m.pth"))
    config = {**resolve_model_data_config(model), "input_size": (3, 32, 32)}
    transform = create_transform(**config, is_training=False)

    @torch.no_grad()
    def batch(files: list[Path]) -> torch.Tensor:
        return torch.stack([transform(Image.open(file).convert("RGB")) for file in files])

    files = sorted((tmp_path / "pets").rglob("*.jpg"))
    with torch.no_grad():
        features = model.forward_head(model.forward_features(batch(files)), pre_logits=True).double()
        wanted = torch.eye(len(labels), dtype=torch.float64)[[labels[file.parent.name] for file in files]]
        centre = features.mean(0)
        weight = torch.linalg.lstsq(features - centre, wanted, driver="gelsd").solution.T
        model.head.weight.copy_(weight)
        model.head.bias.copy_(-weight @ centre)
    torch.save(model.state_dict(), tmp_path / "m.pth")
    return lambda some: model(batch(some))


@pytest.mark.parametrize(("order", "of_order"), [("natural", by_timm), ("codepoint", by_torchvision)])
def test_accuracy_is_that_of_the_order_that_was_said(
    tmp_path: Path, decoders: Decoders, order: str, of_order: Callable[[Path], dict[str, int]]
) -> None:
    resources = resources_for(tmp_path, BREEDS, 4)
    logits = teach(tmp_path, by_timm(tmp_path / "pets"))
    plan, resources, _ = settle(plan_of(class_order=order), resources)
    events = run(plan, resources, decoders)
    prepared = next(e for e in events if isinstance(e, SetsPrepared))
    assert any(f"--class-order {order}" in note for note in prepared.sets[0].notes)
    sets = open_sets(plan, resources, decoders)
    files = [tmp_path / "pets" / sets.sets[0].name_of(int(i)) for i in sets.chosen(0)]
    places = of_order(tmp_path / "pets")
    labels = torch.tensor([places[file.parent.name] for file in files])
    right = float((logits(files).argmax(1) == labels).double().mean())
    assert (right == 1) == (order == "natural")
    measured = [e for e in events if isinstance(e, Measured)][-1]
    assert measured.value("top1") == pytest.approx(right, abs=1e-6)


def test_orders_that_agree_need_no_decision(tmp_path: Path, decoders: Decoders) -> None:
    events = run(plan_of(), resources_for(tmp_path, ("cat", "dog", "eel"), 10), decoders)
    prepared = next(e for e in events if isinstance(e, SetsPrepared))
    assert any("the same for timm and torchvision" in note for note in prepared.sets[0].notes)
    assert not any(isinstance(e, Logged) and "classes that models know" in e.text for e in events)


def test_a_list_of_classes_decides(tmp_path: Path, decoders: Decoders) -> None:
    (tmp_path / "classes.txt").write_text("\ufeff" + "\r\n".join(reversed(BREEDS)))
    resources = resources_for(tmp_path, BREEDS, 2, classes=str(tmp_path / "classes.txt"))
    events = run(plan_of(), resources, decoders)
    prepared = next(e for e in events if isinstance(e, SetsPrepared))
    assert any("12 given class names" in note for note in prepared.sets[0].notes)


def test_the_names_in_a_models_own_file_decide(tmp_path: Path, decoders: Decoders) -> None:
    resources = resources_for(tmp_path, BREEDS)
    plan, resources, _ = settle(plan_of(models=("mine", "other")), resources_with(resources, "other"))
    models = LoadedModels(plan, resources, torch.device("cpu"), lambda _: None)
    names = tuple(reversed(BREEDS))

    def name(model: str, names: tuple[str, ...]) -> None:
        models.by_name[model] = models.by_name[model]._replace(class_names=names)

    assert models.class_names == ()
    name("mine", names)
    sets = open_sets(plan, resources, decoders, models.class_names)
    pets = sets.sets[0]
    assert isinstance(pets, DiskImages)
    assert pets.classes == {known: names.index(known) for known in BREEDS}
    assert pets.labels.tolist() == [names.index(member.split("/")[0]) for member in pets.members]
    assert any("class names of the model's own file" in note for note in pets.notes)
    assert not any("alphabetical" in note or "number its classes differently" in note for note in pets.notes)
    (warning,) = class_names.check(plan, resources, sets, models)
    assert "other" in warning
    name("other", names)
    assert class_names.check(plan, resources, sets, models) == []
    name("other", BREEDS)
    with pytest.raises(InputError, match="a different order"):
        class_names.check(plan, resources, sets, models)


def test_what_is_said_against_a_models_own_file_is_a_warning(tmp_path: Path, decoders: Decoders) -> None:
    plan, resources, _ = settle(plan_of(class_order="codepoint"), resources_for(tmp_path, BREEDS))
    models = LoadedModels(plan, resources, torch.device("cpu"), lambda _: None)
    models.by_name["mine"] = models.by_name["mine"]._replace(class_names=BREEDS)
    sets = open_sets(plan, resources, decoders, models.class_names)
    assert sets.sets[0].classes == by_torchvision(tmp_path / "pets")
    (warning,) = class_names.check(plan, resources, sets, models)
    assert "--class-order codepoint" in warning and "'Bee' is its class 1" in warning


def resources_with(resources: Resources, name: str) -> Resources:
    checkpoints = {**resources.checkpoints, name: resources.checkpoints["mine"]}
    return Resources(
        id=resources.id, ood=resources.ood, checkpoints=checkpoints, devices="cpu", any_accuracy=True
    )


def test_names_of_a_subset_of_imagenet_give_its_labels(tmp_path: Path) -> None:
    from timm.data import ImageNetInfo

    from engine.datasets.discover import with_names

    wnids = ImageNetInfo("imagenet-1k").label_names()[100:110]
    put_classes(tmp_path, tuple(wnids))
    one = with_names(id_set("hundred", str(tmp_path), None), tuple(wnids))
    assert dict(zip(one.members, one.labels, strict=True)) == {
        file: wnids.index(file.split("/")[0]) for file in one.members
    }
    whole = with_names(id_set("hundred", str(tmp_path), None), tuple(wnids[1:]))
    assert min(whole.labels) == 100


def test_folders_composed_otherwise_than_the_classes_given_are_the_same(tmp_path: Path) -> None:
    decomposed, composed = "e\u0301clair", "\u00e9clair"
    put_classes(tmp_path, (decomposed, "bread"))
    one = id_set("cakes", str(tmp_path), None, ("bread", composed))
    assert {file.split("/")[0]: label for file, label in zip(one.members, one.labels, strict=True)} == {
        "bread": 0,
        decomposed: 1,
    }
    assert one.classes == {"bread": 0, decomposed: 1}


def test_empty_classes_and_second_links_keep_their_places_and_are_named(tmp_path: Path) -> None:
    put_classes(tmp_path / "all", ("a", "d"))
    (tmp_path / "all" / "b").mkdir()
    (tmp_path / "all" / "c").symlink_to(tmp_path / "all" / "a")
    one = id_set("mine", str(tmp_path / "all"), None)
    assert one.classes == {"a": 0, "b": -1, "c": -1, "d": 3}
    assert {file.split("/")[0]: label for file, label in zip(one.members, one.labels, strict=True)} == {
        "a": 0,
        "d": 3,
    }
    assert "first as a" in one.problems["c"]
    assert any("b, c" in note for note in one.notes)


def test_guessing_is_said_on_few_images() -> None:
    from engine.protocol.events import ModelLoaded, SetReady
    from engine.report.contents import VariantRow

    model = ModelLoaded("mine", "", "", 1, 12, 32, 1.0, "bicubic", "center", (), ())
    images = (SetReady("pets", "id", "", 60, ""),)
    few = dict.fromkeys(VariantRow.__struct_fields__) | {
        "model": "mine",
        "bits": "FP32",
        "sets": (),
        "means": (),
    }
    at_chance, far_above = (
        VariantRow(**{**few, "values": {"top1": top1, "nll": 2.0}}) for top1 in (0.1667, 0.5)
    )
    (warning,) = guesses([at_chance], [model], images)
    assert "16.7%" in warning and "60 ID images" in warning and "12 classes" in warning
    assert guesses([far_above], [model], images) == ()
