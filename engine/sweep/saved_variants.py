"""The quantized variants of a session on disk: calibrated once, loaded by every device and on resume."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import msgspec
from timm.models.vision_transformer import VisionTransformer

from engine import catalog, quantize
from engine.errors import EngineError, InputError
from engine.images.decode import made_by
from engine.models.loaded import LoadedModel
from engine.plan.plan import Plan
from engine.plan.variants import Variant
from engine.quantize.formats import packed
from engine.quantize.layers import forget_exact
from engine.session.layout import QUANTIZED
from engine.system.files import sync_folder


class SavedVariants:
    """Save and load calibrated variants, each under a key of everything that it depends on."""

    def __init__(self, session: Path) -> None:
        self.folder = session / QUANTIZED

    def save(
        self,
        variant: Variant,
        model: VisionTransformer,
        source: LoadedModel,
        key: str,
        about: dict[str, object],
        required: str | None = None,
    ) -> str:
        """Write a calibrated model and return the SHA-256 of its tensors.

        Raises EngineError, and replaces nothing, if that is not the `required` digest.
        """
        self.folder.mkdir(exist_ok=True, mode=0o700)
        path = self.path(variant)
        partial = path.with_suffix(".partial")
        header = {
            "model": source.build,
            "model_kwargs": dict(source.arguments),
            "bits": str(variant.bits),
            "method": variant.method,
            "key": key,
            **about,
        }
        digest = packed.save(partial, model, header)
        if required is not None and digest != required:
            partial.unlink()
            raise EngineError(
                f"{variant.key}: recalibrated, its quantizers differ from those before the interruption; "
                "this session cannot be resumed here, start a new one"
            )
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(self.folder)
        sync_folder(self.folder.parent)
        return digest

    def load(
        self, variant: Variant, source: LoadedModel, key: str, digest: str | None
    ) -> VisionTransformer | None:
        """Return the saved model; None if none has that key and digest, or it is damaged."""
        try:
            about, tensors = packed.read(self.path(variant))
            if about.key != key or (digest is not None and about.sha256 != digest):
                return None
            model = packed.restore(source.model, about, tensors)
        except InputError:
            return None
        # Tensors read from a file are in main memory.
        on_device: VisionTransformer = model.to(next(source.model.parameters()).device)
        forget_exact(on_device)
        return on_device

    def path(self, variant: Variant) -> Path:
        """Return the file of a variant."""
        return self.folder / f"{variant.stem}.safetensors"


def key_of(variant: Variant, source: LoadedModel, weights: str, calibration: str, plan: Plan) -> str:
    """Return the SHA-256 of everything that a quantized variant depends on.

    Its architecture and weights, method and parameters, bits, preprocessing and calibration images (their
    contents, labels and order), the kind of device, and the programs that compute and that decode.
    """
    method = catalog.METHODS[variant.method]
    parts = (
        source.build,
        dict(source.arguments),
        weights,
        str(variant.bits),
        variant.method,
        {**method.parameters, **(plan.method_parameters or {})},
        plan.overrides,
        plan.first_and_last or None,
        plan.tf32,
        tuple(source.geometry),
        source.mean,
        source.std,
        calibration,
        next(source.model.parameters()).device.type,
        {name: version(name) for name in ("qood-tui", "torch", "timm", "numpy")} | dict(method.package),
        made_by(),
        _source(),
        _source_of(method.target) if method.package else None,
    )
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


@cache
def _source() -> str:
    """Return the SHA-256 of the code that quantizes."""
    state = hashlib.sha256()
    for path in sorted(Path(quantize.__file__).parent.rglob("*.py")):
        state.update(path.read_bytes())
    return state.hexdigest()


def _source_of(target: str) -> str:
    """Return the SHA-256 of the module of another package's method, which may change within a version."""
    spec = find_spec(target.partition(":")[0])
    source = Path(spec.origin) if spec is not None and spec.origin else None
    return hashlib.sha256(source.read_bytes() if source is not None and source.is_file() else b"").hexdigest()
