"""ImageNet-1k below a root: recognised by what folders hold, whatever their names and neighbours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from engine import catalog
from engine.datasets import imagenet
from engine.datasets.disk_set import DiskSet, add, sized
from engine.datasets.tree import SPLITS, TakenFolders, tree_of
from engine.datasets.walk import folders_in, images_below, some_files
from engine.datasets.wordnet import are_classes, label_of
from engine.text import counted

PEEKED = 20  # file names by which a folder is judged
FEW_MISSING = 900  # classes: with more it is an incomplete ImageNet, not a subset
MOST_OF_A_CLASS = 60  # validation images; training has 732 to 1,300
SUBSET_CLASSES, SUBSET_IMAGES = 50, 20  # classes, or images per class, that make a part a subset
_MENTIONED = re.compile(r"(.*?)(imagenet|ilsvrc|in1k|in1000)(.*)")
_OTHER_BEFORE = re.compile(r"tiny|mini|sub|small|sample|restricted|stylized|fewshot|down")
# What may stand beside the name without making it that of another set.
_HARMLESS = re.compile(
    r"(1k|1000|2012|2015|2017|ilsvrc|imagenet|clsloc|img|images?|data(sets?)?|raw|full|resized|256|torch|"
    r"pytorch|hf|jpe?g|object|localization|challenge|kaggle|t12|t3|task|train(ing)?|val(idation)?|test|own)*"
)
_OTHER_ROOT = re.compile(
    r"imagenet_?-?(10|20|50|100|200|300|500|a|c|es|o|p|r|s|v2.*|x|sketch)|(tiny|mini)[-_]?imagenet.*|"
    r"imagenet[-_](c|a|r|o|p)[-_].*|imagenette.*|imagewoof.*"
)


class Candidate(NamedTuple):
    """A folder of ImageNet's classes.

    `split` is `train`, `id`, `test` or empty; `other` is the folder whose name says that it is another set.
    """

    folder: Path
    split: str
    other: Path | None
    is_certain: bool  # that the images are ImageNet's own, by their names or by the folder's


def imagenet_folders(root: Path, found: dict[str, DiskSet]) -> None:
    """Find ImageNet-1k and what else has its classes: subsets, versions, corruptions, each under its name."""
    taken, tree = TakenFolders(found), tree_of(root)
    candidates: list[Candidate] = []
    for folder, names in tree.items():
        if not taken.is_in(folder) and not any(c.folder in folder.parents for c in candidates):
            candidates += _judged(folder, names, root)
    own: dict[tuple[Path, str], list[Candidate]] = {}
    whole: dict[str, list[DiskSet]] = {}
    for one in candidates:
        if one.split == "test" or one.other is not None:
            own.setdefault((one.other or one.folder, one.split), []).append(one)
            continue
        read = _read(one, root)
        name = "imagenet-train" if read.role == "train" else "imagenet"
        if _is_subset(read) or not one.is_certain:
            own.setdefault((one.folder, one.split), []).append(one)
        else:
            whole.setdefault(name, []).append(read)
    for name, several in whole.items():
        if name in found:  # by a list of OpenOOD
            found[name].beside += [one.root for one in several]
        else:
            _take_largest(name, several, root, found)
    _take_others(own, root, found)


def _judged(folder: Path, names: list[str], root: Path) -> list[Candidate]:
    """Return a folder as a candidate if its folders are ImageNet's classes or its files ImageNet's."""
    parts = folder.relative_to(root).parts
    places = (folder, *folder.parents[: len(parts)])
    chain = [(place, *_mention(place.name, is_root=place == root)) for place in places]
    mention = next(((place, is_other) for place, is_there, is_other in chain if is_there), None)
    other = mention[0] if mention is not None and mention[1] else None
    files = some_files(str(folder), PEEKED)
    if are_classes(names):
        classes = [name for name in names if label_of(name) >= 0]
        files = [name for top in classes[:4] for name in some_files(str(folder / top), 5)]
    elif names and all(name.isdecimal() and int(name) <= imagenet.CLASSES for name in names):
        files = [name for top in names[:4] for name in some_files(str(folder / top), 5)]
        if not _are_validation(files) and not (other is not None and "v2" in other.name.lower()):
            return []
    elif len(files) <= len(names) or not _share(files, _is_imagenets):
        return []  # a few images beside folders say nothing about what is in these
    is_named = mention is not None and not mention[1]
    split = _split(folder, parts, files, is_named)
    is_split = bool(parts) and folder.name.lower() in SPLITS
    is_certain = is_named or is_split or _are_validation(files)
    return [Candidate(folder, split, other, is_certain)]


def _mention(name: str, is_root: bool = False) -> tuple[bool, bool]:
    """Return whether a folder's name mentions ImageNet, and whether it names another set than the whole."""
    if is_root:  # which may be named by anything, such as a project about ImageNet
        is_other = bool(_OTHER_ROOT.fullmatch(name.lower()))
        return is_other, is_other
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    found = _MENTIONED.fullmatch(plain)
    if found is None:
        is_other = plain.startswith("imagewoof")
        return is_other, is_other
    return True, bool(_OTHER_BEFORE.search(found[1])) or not _HARMLESS.fullmatch(found[3])


def _split(folder: Path, parts: tuple[str, ...], files: list[str], is_named: bool) -> str:
    """Return which split a folder holds: by the names of its images, else by its own; empty if unknown."""
    if _are_validation(files):
        return "id"
    if _share(files, _is_test):
        return "test"
    for part in (folder.name, *reversed(parts[:-1])) if parts else ():
        for word, role in SPLITS.items():
            if re.search(rf"(^|[^a-z]){word}($|[^a-z])", part.lower()):
                return role
    if is_named and _share(files, lambda name: re.match(r"n\d{8}_\d+", name.lower()) is not None):
        return "train"
    return ""


def _read(one: Candidate, root: Path) -> DiskSet:
    """Return a candidate as a set, with its role by its split, else by how many images a class has."""
    found = _labelled(one.folder, root)
    classes = max(1, len(found.classes))
    is_many = len(found.members) > MOST_OF_A_CLASS * classes and bool(found.classes)
    found.role = one.split or ("train" if is_many else "id")
    return found


def _labelled(folder: Path, root: Path) -> DiskSet:
    """Return the images of a folder with ImageNet's labels, without folders beside its classes."""
    walked = images_below(str(folder))
    names = folders_in(str(folder))
    classes = [name for name in names if label_of(name) >= 0]
    if not are_classes(names) or len(classes) == len(names):
        return imagenet.labelled("", folder, root, walked)
    own = set(classes)
    files = [path for path in walked.files if "/" not in path or path.split("/")[0] in own]
    found = imagenet.labelled("", folder, root, walked._replace(files=files))
    found.parts = classes
    found.notes.append(f"{counted(len(names) - len(classes), 'folder')} beside its classes left out")
    return found


def _is_subset(found: DiskSet) -> bool:
    """Return whether a set has so few classes, and so many images of each, that it is meant as a subset."""
    classes = len(found.classes)
    per_class = SUBSET_IMAGES * (1 if found.role == "id" else 5)
    is_part = 0 < classes <= FEW_MISSING
    return is_part and (classes >= SUBSET_CLASSES or len(found.members) >= per_class * classes)


def _take_largest(name: str, several: list[DiskSet], root: Path, found: dict[str, DiskSet]) -> None:
    """Take the most complete of several folders as the set, and name the others."""
    entry = catalog.SETS[name]
    best = max(several, key=lambda one: (len(one.members) == entry.available, _shown(one), len(one.members)))
    best.name, best.role, best.label = name, entry.role, entry.label
    for one in several:
        if one is not best:
            where = one.root.relative_to(root)
            there = counted(len(one.members), "image")
            best.notes.append(f"{where} holds {there} of the same set and is left out")
            best.beside.append(one.root)
    if best.members:
        found[name] = sized(best, entry.available)


def _take_others(own: dict[tuple[Path, str], list[Candidate]], root: Path, found: dict[str, DiskSet]) -> None:
    """Take subsets and relatives of ImageNet, one set per folder and split, each under its own name."""
    for (place, split), several in own.items():
        folder = place if len({one.folder for one in several}) > 1 else several[0].folder
        if split == "test":
            _set_aside(several, root, found)
            continue
        is_2 = "v2" in place.name.lower()
        one = imagenet.of_version_2("", folder, images_below(str(folder))) if is_2 else None
        one = one or _labelled(folder, root)
        one.role = split or "id"
        if not one.members:
            continue
        name = place.name
        if several[0].other is None and place != root:
            above = place.parent.name if place.name.lower() in SPLITS and place.parent != root else ""
            name = f"{above or place.name}-{len(one.classes)}-classes" if one.classes else place.name
        add(found, one, name + ("-train" if split == "train" and "train" not in name else ""))


def _set_aside(several: list[Candidate], root: Path, found: dict[str, DiskSet]) -> None:
    """Leave out ImageNet's unlabelled test images, with a note; without the others they are a set."""
    for candidate in several:
        walked = images_below(str(candidate.folder))
        where = candidate.folder.relative_to(root)
        if "imagenet" in found:
            found["imagenet"].beside.append(candidate.folder)
            found["imagenet"].notes.append(
                f"{where} holds {counted(len(walked.files), 'test image')} without labels and is left out"
            )
        else:
            one = _labelled(candidate.folder, root)
            add(found, one, "imagenet-test")


def _are_validation(files: list[str]) -> bool:
    return _share(files, lambda name: imagenet.VALIDATION.match(name) is not None)


def _is_imagenets(name: str) -> bool:
    return imagenet.VALIDATION.match(name) is not None or _is_test(name) or label_of(name) >= 0


def _is_test(name: str) -> bool:
    return re.match(r"ILSVRC20\d\d_test_\d{8}", name, re.IGNORECASE) is not None


def _share(files: list[str], is_one: object) -> bool:
    """Return whether more than half of some files are of one kind."""
    assert callable(is_one)
    return bool(files) and sum(bool(is_one(name)) for name in files) > len(files) / 2


def _shown(one: DiskSet) -> int:
    return len({label for label in one.labels if label >= 0})
