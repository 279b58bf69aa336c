"""A session as a document, measured again from its arrays, and the document in every format."""

from engine.report.contents import Document, VariantRow
from engine.report.document import document
from engine.report.formats.registry import FORMATS, checked, render
from engine.report.recheck.earlier import earlier

__all__ = ["FORMATS", "Document", "VariantRow", "checked", "document", "earlier", "render"]
