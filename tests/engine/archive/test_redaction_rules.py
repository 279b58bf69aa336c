"""Nothing of an event passes unless a rule says so; mypy checks the events, these tests their fields."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from engine.archive import redact
from engine.archive.pseudonyms import Names
from engine.archive.redaction_rules import redacted
from engine.plan.variants import VariantKey
from engine.protocol.events import MAIN_MEASURE, AnyEvent, Header

SECRET = "kdv2-s3cr3t"
EVENTS = typing.get_args(AnyEvent)
OF_OTHERS = Names({}, {}, {(SECRET, SECRET): "image-1"}, frozenset(), {}, frozenset())
OF_OWN = Names(
    {SECRET: "set-1"},
    {SECRET: "model-1"},
    {(SECRET, SECRET): "image-1"},
    frozenset({SECRET}),
    {SECRET: "a name"},
    frozenset({SECRET}),
)
# Fields that are copied as they are: names of the catalog, of layers of published architectures, digests of
# numbers that are copied too, and the time. Whoever adds one says that it identifies nobody.
COPIED = {
    "Header": {"format", "created"},
    "Plan": {
        "bits",
        "method",
        "method_parameters",
        "overrides",
        "scores",
        "score_parameters",
        "headline",
        "class_order",
    },
    "WorkerStarted": {"arithmetic"},  # names of environment variables; not their values
    "TensorRow": {"tensor", "quantizer"},
    "BitsTabled": {"floats"},
    "ChunkFinished": {"digests"},
    "Cell": {"score"},
    "DeltasMeasured": {"by_bits", "by_pretraining", "twins"},
    "ScoresAdded": {"scores", "parameters", "headline", "digests"},
    "SessionClosed": {"sha256"},
}

BY_MEASURE = {"values", "by_set", "of_labels"}  # fields whose keys are measures


def filled(kind: Any) -> Any:
    """Return a value of a type in which every field is given and every text is a secret."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind, include_extras=True)
        values = {name: filled(hint) for name, hint in hints.items()}
        for name in BY_MEASURE & values.keys():
            values[name] |= {MAIN_MEASURE: values[name][SECRET]}
        return kind(**values)
    if origin in (types.UnionType, typing.Union):
        return filled(next(one for one in inner if one not in (type(None), msgspec.UnsetType)))
    if kind == VariantKey:
        return f"{SECRET} W4A4"
    if origin is tuple:
        return (filled(inner[0]),)
    if origin is dict:
        return {filled(inner[0]): filled(inner[1])}
    return {str: SECRET, bool: True, int: 7, float: 0.7}[kind]


def structs(value: Any) -> Iterator[msgspec.Struct]:
    """Yield a struct and every one within."""
    if isinstance(value, msgspec.Struct):
        yield value
        value = [getattr(value, name) for name in value.__struct_fields__]
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, tuple | list):
        for one in value:
            yield from structs(one)


def copy_of(kind: type, names: Names) -> Any:
    """Return the redacted copy of an event, or of a header, that is full of secrets."""
    if kind is Header:
        return redact._header(filled(Header), names, time=False)
    return redacted(filled(kind), names)


@pytest.mark.parametrize("kind", [Header, *EVENTS], ids=lambda kind: kind.__name__)
def test_no_field_is_forgotten(kind: type) -> None:
    """A field that came later and has no rule would have its default."""
    there = {type(one) for one in structs(filled(kind))}
    copied = list(structs(copy_of(kind, OF_OTHERS)))
    assert {type(one) for one in copied} == there
    for one in copied:
        for field in msgspec.structs.fields(one):
            if field.default is not msgspec.NODEFAULT:
                assert getattr(one, field.name) != field.default, (type(one), field.name)
            if field.default_factory is not msgspec.NODEFAULT:
                assert getattr(one, field.name), (type(one), field.name)


@pytest.mark.parametrize("kind", [Header, *EVENTS], ids=lambda kind: kind.__name__)
def test_no_text_is_copied_unless_it_is_known_to_be_harmless(kind: type) -> None:
    for one in structs(copy_of(kind, OF_OWN)):
        name = type(one).__name__
        said = {
            field
            for field in one.__struct_fields__
            if not any(structs(getattr(one, field))) and SECRET in repr(getattr(one, field))
        }
        said |= {
            field
            for field in one.__struct_fields__
            if isinstance(value := getattr(one, field), dict) and SECRET in repr([*value])
        }
        assert said == COPIED.get(name, set()), name


def test_every_event_has_a_rule() -> None:
    """mypy says so first; here even one that nobody type-checked cannot pass."""

    class PatientSeen(msgspec.Struct, frozen=True):
        name: str

    with pytest.raises(AssertionError):
        redacted(PatientSeen(SECRET), OF_OTHERS)  # type: ignore[arg-type]
