"""Choosing the weights in a file: the plain ones, or EMA weights on request, under timm's names.

A file holds one or several states (tensors by name), each perhaps behind the prefixes of wrappers. A vision
transformer is recognised by its patch embedding, whichever library named it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from engine.models import contents, naming
from engine.models.contents import FormError, Placeholder
from engine.protocol.events import WeightsTaken

# Modules that wrap others and add their name, anywhere, to the names of tensors.
WRAPPERS = (
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
    "_forward_module",
    "_fpw_module",
)
DEEPEST, MOST_NAMES = 3, 6
_AVERAGES = re.compile(
    r"(^|[._])(ema\w*?|\w*?ema|teacher|swa\w*|averaged?|avg|shadow|polyak|momentum)(?=[._]|$)"
)
_CLASS_LISTS = ("class_names", "classes", "CLASSES", "label_names")


class TakenWeights(NamedTuple):
    """Weights under timm's names, what was taken from the file, and what it says about itself.

    `hints` are arguments that their model must be built with; `architecture` is the one named in the file.
    """

    state: dict[str, Tensor]
    about: WeightsTaken
    class_names: tuple[str, ...] = ()
    hints: Mapping[str, Any] = {}
    architecture: str = ""


class _Source(NamedTuple):
    """A state in a file; `prefix` and the names `own` of the tensors of a vision transformer in it."""

    path: tuple[str, ...]
    state: Mapping[str, Tensor]
    prefix: str
    is_ema: bool
    own: frozenset[str]

    def inner(self) -> dict[str, Tensor]:
        """Return the transformer's own tensors, without the prefix."""
        return {n.removeprefix(self.prefix): v for n, v in self.state.items() if n in self.own}

    @property
    def has_head(self) -> bool:
        return any(_unwrapped(name).startswith(naming.HEADS) for name in self.inner()) or any(
            name.endswith("classifier.weight") for name in self.state
        )

    def __str__(self) -> str:
        entry = ".".join(self.path)
        inner = f"the names with {self.prefix!r}" if self.prefix else "the names without a prefix"
        return f"entry {entry!r}" if entry else inner


def take(path: Path, *, ema: bool = False) -> TakenWeights:
    """Read a file and return its weights; raise FormError saying what it is and what would work."""
    return of_contents(contents.read(path), ema=ema)


def of_contents(held: Any, *, ema: bool = False) -> TakenWeights:
    """Return the weights in the contents of a file; raise FormError if there are none to choose."""
    sources = [source for path, state in _states(held) for source in _sources(path, state, held)]
    if not sources:
        raise FormError(_what_instead(held))
    chosen = _chosen(sources, ema)
    own = chosen.inner()
    outer = {name: value for name, value in chosen.state.items() if name not in chosen.own}
    inside = tuple(w for w in WRAPPERS if any(f".{w}." in f".{name}" for name in own))
    named = naming.to_timm({_unwrapped(name): value for name, value in own.items()}, outer, chosen.prefix)
    _check(named.state, outer)
    about = WeightsTaken(
        entry=_entry(chosen, held),
        is_ema=chosen.is_ema,
        beside=(*_beside(chosen, held), *_grouped(named.unused)),
        prefixes=(*((chosen.prefix,) if chosen.prefix else ()), *(f"{name}." for name in inside)),
        mapped=named.mapped,
        notes=named.notes,
    )
    state = {name: value.detach() for name, value in named.state.items()}
    return TakenWeights(
        state, about, _class_names(held, len(state["head.weight"])), named.hints, _architecture(held)
    )


def _states(held: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """Yield every set of tensors by name in the contents of a file, with the path of entries to it."""
    if isinstance(held, Placeholder):
        if state := contents.module_state(held):
            yield path, state
        return
    if not isinstance(held, Mapping) or "param_groups" in held:
        return
    tensors = {name: value for name, value in held.items() if isinstance(value, Tensor)}
    by_name = all(isinstance(name, str) for name in tensors)
    if by_name and any(value.ndim >= 2 for value in tensors.values()) and 2 * len(tensors) >= len(held):
        yield path, tensors
    elif len(path) < DEEPEST:
        for name, value in held.items():
            if isinstance(name, str):
                yield from _states(value, (*path, name))


def _sources(path: tuple[str, ...], state: Mapping[str, Tensor], held: Any) -> Iterator[_Source]:
    """Yield the vision transformers in a state, one per prefix."""
    prefixes = dict.fromkeys(prefix for name in state if (prefix := _before_anchor(name)) is not None)
    swapped = isinstance(held, Mapping) and {"averaging_state", "current_model_state"} <= held.keys()
    for prefix in prefixes:
        # Lightning's averaging callback stores the plain weights apart, and the average in their place.
        average = path[:1] == ("state_dict",) if swapped else "n_averaged" in state
        words = ".".join((*path, prefix)).lower()
        others = tuple(other for other in prefixes if other != prefix and other.startswith(prefix))
        own = {n for n in state if n.startswith(prefix) and not n.startswith(others)}
        yield _Source(path, state, prefix, average or _AVERAGES.search(words) is not None, frozenset(own))


def _before_anchor(name: str) -> str | None:
    """Return the prefix of the name that identifies a vision transformer; None for any other name."""
    for anchor in naming.ANCHORS:
        wanted, parts = anchor.split("."), name.split(".")
        at = len(parts)
        while wanted and at and parts[at - 1] in (wanted[-1], *WRAPPERS):
            at -= 1
            if parts[at] == wanted[-1]:
                wanted.pop()
        if not wanted:
            return "".join(f"{part}." for part in parts[:at])
    return None


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _chosen(sources: list[_Source], ema: bool) -> _Source:
    """Return the requested source; raise FormError if there is none or more than one."""
    fitting = [source for source in sources if source.is_ema == ema]
    listed = ", ".join(dict.fromkeys(map(str, sources)))
    if not fitting and ema:
        raise FormError(f"it holds no EMA weights, only plain ones ({listed}); leave out --ema")
    if not fitting:
        raise FormError(f"it holds only averaged (EMA) weights ({listed}); give --ema to take them")
    fitting = [source for source in fitting if source.has_head] or fitting
    first = fitting[0]
    for other in fitting[1:]:
        if not _same(first, other):
            raise FormError(
                f"it holds several sets of weights that differ ({first}, {other}); save the right one to a "
                "separate file"
            )
    return first


def _same(first: _Source, second: _Source) -> bool:
    one, two = first.inner(), second.inner()
    return one.keys() == two.keys() and all(torch.equal(value, two[name]) for name, value in one.items())


def _check(state: Mapping[str, Tensor], outer: Mapping[str, Tensor]) -> None:
    """Raise FormError for weights that no plain model can be built from."""
    for words, meaning in (
        ("lora_", "it holds LoRA adapters; merge them into the model first (merge_and_unload)"),
        ("parametrizations.", "its weights are parametrised; call remove_parametrizations first"),
        ("_flat_param", "it is a shard of FSDP; save the full state dict"),
        ("_packed_params", "it is a model quantized by PyTorch; its weights before quantization are needed"),
        ("pre_logits.", "it has a layer before its head (pre_logits) that timm no longer builds"),
    ):
        if any(words in name for name in state):
            raise FormError(f"{meaning}; then {contents.SAVE}")
    head = state.get("head.weight")
    if head is None or head.ndim != 2:
        near = [
            n
            for n in (*state, *outer)
            if re.search(r"head|fc|class|linear", n) and not n.startswith("blocks.")
        ]
        similar = f"; similar names: {', '.join(near[:MOST_NAMES])}" if near else ""
        raise FormError(
            "they have no classification head ('head.weight'), as after pretraining without labels; weights "
            f"of a model trained or fine-tuned for classification are needed{similar}"
        )
    empty = next((name for name, value in state.items() if not value.numel()), None)
    if empty:
        raise FormError(
            f"{empty} is empty, as when weights are spread over processes (ZeRO-3, FSDP); join them first "
            "(zero_to_fp32.py of DeepSpeed, or a full state dict)"
        )
    coded = next((name for name, value in state.items() if _is_coded(name, value)), None)
    if coded:
        raise FormError(
            f"{coded} is {state[coded].dtype}: the weights are quantized; floating-point ones are needed"
        )


def _is_coded(name: str, value: Tensor) -> bool:
    counts = name.endswith(("num_batches_tracked", "position_ids", "relative_position_index"))
    return not value.is_floating_point() and not counts


def _entry(chosen: _Source, held: Any) -> str:
    if isinstance(held, Placeholder):
        return f"a whole pickled model ({held.name})"
    return f"entry {'.'.join(chosen.path)!r}" if chosen.path else ""


def _beside(chosen: _Source, held: Any) -> tuple[str, ...]:
    """List the other entries of a file on the path to the chosen weights."""
    others: list[str] = []
    inner = held
    for part in chosen.path:
        others += [str(name) for name in inner if name != part]
        inner = inner[part]
    return tuple(dict.fromkeys(others))


def _grouped(names: list[str]) -> tuple[str, ...]:
    """Shorten a long list of unused tensors to their prefixes."""
    if len(names) <= MOST_NAMES:
        return tuple(names)
    return tuple(dict.fromkeys(f"{name.partition('.')[0]}.*" if "." in name else name for name in names))


def _class_names(held: Any, count: int) -> tuple[str, ...]:
    """Return the names of the outputs in order, if a file has them; else an empty tuple."""
    for entry in _nested(held):
        numbers = entry.get("class_to_idx")
        if isinstance(numbers, Mapping) and set(numbers.values()) == set(range(count)) == set(
            range(len(numbers))
        ):
            return tuple(str(name) for name in sorted(numbers, key=lambda name: int(numbers[name])))
        names = entry.get("idx_to_class")
        if isinstance(names, Mapping) and {str(key) for key in names} == set(map(str, range(count))):
            by_number = {str(key): name for key, name in names.items()}
            return tuple(str(by_number[str(at)]) for at in range(count))
        for field in _CLASS_LISTS:
            listed = entry.get(field)
            if isinstance(listed, list | tuple) and len(listed) == count == len(set(map(str, listed))):
                return tuple(map(str, listed))
    return ()


def _architecture(held: Any) -> str:
    """Return the timm model that a training program recorded in its checkpoint, or an empty text."""
    for entry in _nested(held):
        for field in ("arch", "architecture", "model", "model_name"):
            if isinstance(name := entry.get(field), str):
                return name
    return ""


def _nested(held: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the contents of a file, and the options and metadata in it."""
    if not isinstance(held, Mapping):
        return
    yield held
    for name in ("args", "hyper_parameters", "hparams", "config", "cfg", "meta", "dataset_meta"):
        inner = held.get(name)
        inner = inner if isinstance(inner, Mapping) else getattr(inner, "__dict__", None)
        if isinstance(inner, Mapping):
            yield inner


def _what_instead(held: Any) -> str:
    """Return what a file holds instead of the weights of a vision transformer."""
    if isinstance(held, Placeholder):
        return f"it is an object of {held.name}, not weights; {contents.SAVE}"
    if not isinstance(held, Mapping):
        return f"it holds a {type(held).__name__}, not weights by name; {contents.SAVE}"
    names = [str(name) for name in held]
    if "param_groups" in held or (names and all("optim" in name for name in names)):
        return f"it holds the state of an optimizer, not the weights of a model; {contents.SAVE}"
    states = [name for _, state in _states(held) for name in state]
    shown = ", ".join((states or names)[:MOST_NAMES]) or "nothing"
    if not states:
        return f"it holds no weights by name (entries: {shown}); {contents.SAVE}"
    kind = next((kind for part, kind in naming.FOREIGN if any(part in name for name in states)), "")
    of = f"they look like {kind}" if kind else "they are not from a known vision transformer"
    return f"its tensors are named {shown}, …: {of}; names from timm, transformers or torchvision are needed"
