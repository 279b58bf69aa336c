"""What can be picked, as data. Objects lie behind `module:name` and are loaded only where they run."""

from engine.catalog.models import (
    DEMO_MODELS,
    MODELS,
    STUDY_MODELS,
    Model,
    is_timm_name,
    pretraining_of,
    short_of,
    twins,
)
from engine.catalog.named import resolve
from engine.catalog.presets import PRESETS, STATED_BY, STATED_NOT, Preset
from engine.catalog.quantizers import BITS, QUANTIZERS, Quantizer
from engine.catalog.scores import FEATURES, SCORES, Score, label_of
from engine.catalog.sets import (
    AUTO,
    CALIBRATION_IMAGES,
    DEMO_CALIBRATION,
    DEMO_FIT,
    DEMO_OOD,
    FIT_IMAGES,
    HELD_OUT,
    LAYOUTS,
    MINIATURE,
    SETS,
    Set,
    is_made,
    note_of,
)

__all__ = [
    "AUTO",
    "BITS",
    "CALIBRATION_IMAGES",
    "DEMO_CALIBRATION",
    "DEMO_FIT",
    "DEMO_MODELS",
    "DEMO_OOD",
    "FEATURES",
    "FIT_IMAGES",
    "HELD_OUT",
    "LAYOUTS",
    "MINIATURE",
    "MODELS",
    "PRESETS",
    "QUANTIZERS",
    "SCORES",
    "SETS",
    "STATED_BY",
    "STATED_NOT",
    "STUDY_MODELS",
    "Model",
    "Preset",
    "Quantizer",
    "Score",
    "Set",
    "is_made",
    "is_timm_name",
    "label_of",
    "note_of",
    "pretraining_of",
    "resolve",
    "short_of",
    "twins",
]
