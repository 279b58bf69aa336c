"""The formats that a document can be written in."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from engine import catalog
from engine.errors import InputError
from engine.report.contents import Document

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "json": "engine.report.formats.plain:as_json",
        "md": "engine.report.formats.markdown:as_markdown",
        "csv": "engine.report.formats.plain:as_csv",
        "html": "engine.report.formats.html:as_html",
        "latex": "engine.report.formats.latex:as_latex",
    }
)


def checked(form: str) -> str:
    """Return the name of a format; raise InputError with the choices."""
    if form not in FORMATS:
        raise InputError("format", form, f"choose from {', '.join(FORMATS)}")
    return form


def render(document: Document, form: str) -> str:
    """Return the document in a format; raise InputError for an unknown format."""
    text: str = catalog.resolve(FORMATS[checked(form)])(document)
    return text
