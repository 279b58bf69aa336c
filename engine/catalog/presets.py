"""Named plans, and what the study behind one of them states."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from engine.catalog.models import DEMO_MODELS, STUDY_MODELS
from engine.catalog.sets import AUTO

STATED_BY = "abstract of arXiv 2602.01459 (Kuang & Wong 2026)"
STATED_NOT = (
    "The abstract of arXiv 2602.01459 does not state the OOD score, quantization method, calibration set, "
    "estimator of AUPR-out, ID images or OOD sets beyond OpenImage-O and iNaturalist, nor whether its deltas "
    "are percentage points or relative. This plan makes its own choices and shows both kinds of delta; only "
    "their order can be compared."
)


class Preset(msgspec.Struct, frozen=True):
    """A named plan."""

    label: str
    plan: Mapping[str, Any]


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "demo": Preset("five micro models at six bit settings", {"models": DEMO_MODELS}),
        "quick": Preset(
            "two micro models, FP32 against W4A4, in a few seconds",
            {
                "models": ("vit-narrow", "vit-wide"),
                "bits": ("FP32", "W4A4"),
                "id_images": 500,
                "ood_images": 250,
            },
        ),
        "kuang-wong-2026": Preset(
            "the study of arXiv 2602.01459: five models at six bit settings, ImageNet-1k, OpenOOD's OOD sets",
            {
                "models": STUDY_MODELS,
                "id_set": "imagenet",
                "ood_sets": ("ssb-hard", "ninco", "inaturalist", "textures", "openimage-o"),
                "calibration_set": AUTO,
                "fit_set": AUTO,
                "share": 1.0,
                "chunk_images": 500,
            },
        ),
    }
)
