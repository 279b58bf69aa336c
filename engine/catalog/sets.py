"""Image sets: made by the demo, or published and found on a disk."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engine.catalog.named import by_name

DEMO_OOD = ("unseen-fractals", "digits", "photo-patches", "noise")
CALIBRATION_IMAGES = 500
FIT_IMAGES = 1500
MINIATURE = "a miniature of the study on fractals, not ImageNet"
AUTO = "auto"  # a set that is chosen by what there is, before the plan is one
DEMO_CALIBRATION, DEMO_FIT = "fractals-calibration", "fractals-fit"
CLASS_ORDERS = {"natural": "as timm counts folders", "codepoint": "as torchvision counts folders"}
# Pixels of an image, where nothing else is asked for; a file that claims more is a bomb. Pillow refuses more,
# and so do timm and torchvision, which leave it at that: a photograph of 108 megapixels is read.
LARGEST_IMAGE = 178_956_970
HELD_OUT = "held-out"  # a tenth of the ID set, where there are no training images
_SHOWN = "annotators of NINCO found an ImageNet-1k class in {} of {} images (Bitterwolf et al. 2023)"


class Set(msgspec.Struct, frozen=True):
    """An image set: `role` is `id`, `ood`, or `train` for images that are learnt from and never evaluated.

    A set of the demo is `made`. Others lie on the user's disk: `available` images in the folder that it is
    handed out as, `listed` in OpenOOD's list; `places` are names of that folder, the most specific first;
    subfolders in `without` are left out as the benchmark does.
    """

    name: str
    role: str
    label: str
    available: int
    made: bool = False
    listed: int = 0
    lists: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    note: str = ""


SETS: Mapping[str, Set] = by_name(
    Set("fractals", "id", "50 known fractal classes", 2000, True),
    Set(DEMO_CALIBRATION, "train", "calibration set, ID classes", CALIBRATION_IMAGES, True),
    Set(DEMO_FIT, "train", "fit set, ID classes", FIT_IMAGES, True),
    Set("unseen-fractals", "ood", "100 other fractal classes (near)", 600, True),
    Set("digits", "ood", "handwritten digits (far)", 600, True),
    Set("photo-patches", "ood", "patches of two photographs (far)", 600, True),
    Set("noise", "ood", "smooth and rough noise (far)", 600, True),
    Set(
        "imagenet",
        "id",
        "ImageNet-1k validation",
        50_000,
        listed=45_000,
        lists=("test_imagenet.txt",),
    ),
    Set(
        "imagenet-train",
        "train",
        "ImageNet-1k training",
        1_281_167,
        listed=1_281_167,
    ),
    Set(
        "imagenet-held-out",
        "train",
        "ImageNet-1k validation, held out by OpenOOD",
        5_000,
        listed=5_000,
        lists=("val_imagenet.txt",),
    ),
    Set(
        "ssb-hard",
        "ood",
        "SSB-hard (near)",
        49_000,
        listed=49_000,
        lists=("test_ssb_hard.txt",),
        places=("ssb_hard", "ssb-hard", "ssbhard"),
    ),
    Set(
        "ninco",
        "ood",
        "NINCO (near)",
        5_879,
        listed=5_879,
        lists=("test_ninco.txt",),
        places=("ninco/ninco_ood_classes", "ninco_ood_classes", "ninco"),
    ),
    Set(
        "inaturalist",
        "ood",
        "iNaturalist, as chosen by MOS (far)",
        10_000,
        listed=10_000,
        lists=("test_inaturalist.txt",),
        places=("inaturalist/images", "inaturalist"),
        note=_SHOWN.format(10, 400),
    ),
    Set(
        "textures",
        "ood",
        "Textures, DTD without four overlapping classes (far)",
        5_160,
        listed=5_160,
        lists=("test_textures.txt",),
        places=("dtd/images", "textures/images", "texture/images", "textures", "texture", "dtd"),
        without=("bubbly", "cobwebbed", "honeycombed", "spiralled"),
        note=_SHOWN.format(99, 400),
    ),
    Set(
        "openimage-o",
        "ood",
        "OpenImage-O (far)",
        17_632,
        listed=15_869,
        lists=("test_openimage_o.txt", "openimage_o.txt"),
        places=("openimage_o/images", "openimage-o/images", "openimage_o", "openimage-o", "openimages_o"),
        note=_SHOWN.format(19, 400),
    ),
    Set("sun", "ood", "SUN, as chosen by MOS (far)", 10_000, places=("sun/images", "sun")),
    Set(
        "places",
        "ood",
        "Places, as chosen by MOS (far)",
        10_000,
        places=("places/images", "places"),
        note=_SHOWN.format(227, 410),
    ),
    Set(
        "imagenet-o",
        "ood",
        "ImageNet-O (near)",
        2_000,
        places=("imagenet-o", "imagenet_o"),
        note=_SHOWN.format(78, 400),
    ),
)
SOURCES: Mapping[str, str] = {  # kinds of places to read images from; a path is of the first that accepts it
    "files": "engine.datasets.sources.files:Files",
}
LAYOUTS = (  # how sets lie below a root; what an earlier one finds, later ones do not look for
    "engine.datasets.layouts.openood:openood_lists",
    "engine.datasets.layouts.published:published_folders",
    "engine.datasets.layouts.imagenet:imagenet_folders",
    "engine.datasets.layouts.others:other_folders",
)


def is_made(name: str) -> bool:
    """Return whether a set is one of the demo's, made and not found."""
    return name in SETS and SETS[name].made


def note_of(id_set: str) -> str:
    """Return what must be said of everything that is measured against an ID set; empty if nothing."""
    return MINIATURE if is_made(id_set) else ""
