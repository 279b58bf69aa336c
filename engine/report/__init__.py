"""A session as a document, measured again from its arrays, and the document in every format."""

from engine.report.contents import Document, VariantRow
from engine.report.document import document
from engine.report.earlier import earlier
from engine.report.formats import FORMATS, checked, render

__all__ = ["FORMATS", "Document", "VariantRow", "checked", "document", "earlier", "render"]
