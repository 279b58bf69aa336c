"""A document as one self-contained HTML file: no script, no font, no network."""

from __future__ import annotations

from html import escape

from engine.report.blocks import Block, Cell, Figure, Items, Section, Shaded, Table, Text, text_of
from engine.report.contents import Document
from engine.report.formats import figures
from engine.report.formats.style import STYLE
from engine.report.sections.outline import lead, sections
from engine.text import clean

LEVELS = 4  # of shading
DENSE = 8  # a table with more columns is set smaller on paper
NEW_PAGE = {"deltas", "images", "bits"}  # sections that start a new page
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def as_html(document: Document) -> str:
    """Return the document as a page that prints well."""
    every = _with_figures(document)
    urgent = [section for section in every if section.is_urgent]
    rest = [section for section in every if not section.is_urgent]
    foot = f"Session {document.id}, plan {document.identity}, {document.app}."
    body = [
        f"<h1>{_safe(document.session)}</h1>",
        *map(_section, urgent),
        '<div class="lead">',
        *(f"<p{_first(at)}>{_safe(sentence)}</p>" for at, sentence in enumerate(lead(document))),
        "</div>",
        _contents(rest),
        "<main>",
        *map(_section, rest),
        "</main>",
        f"<footer><p>{_safe(foot)}</p></footer>",
    ]
    head = [
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{_safe(document.session)}</title>",
        f"<style>{STYLE}</style>",
    ]
    parts = ["<!DOCTYPE html>", '<html lang="en">', "<head>", *head, "</head>", "<body>", *body]
    return "\n".join([*parts, "</body>", "</html>", ""])


def _with_figures(document: Document) -> list[Section]:
    """Return the sections with figures where they belong."""
    every = []
    for section in sections(document):
        if section.id == "losses" and (bars := figures.losses(document)) is not None:
            first, *others = section.blocks
            section = Section(section.id, section.title, (first, bars, *others))
        if section.id == "detection":
            if curves := tuple(figures.roc(document)):
                every.append(Section("curves", "ROC curves", curves))
            if (spread := figures.scores(document)) is not None:
                every.append(Section("histograms", "Scores", (spread,)))
        every.append(section)
    return every


def _contents(rest: list[Section]) -> str:
    links = (f'<li><a href="#part-{section.id}">{_safe(section.title)}</a></li>' for section in rest)
    return f'<nav aria-label="Contents"><ul>{"".join(links)}</ul></nav>'


def _section(section: Section) -> str:
    kinds = ["urgent"] if section.is_urgent else []
    kinds += ["new-page"] if section.id in NEW_PAGE else []
    classes = f' class="{" ".join(kinds)}"' if kinds else ""
    blocks = "\n".join(map(_block, section.blocks))
    head = f'<section id="part-{section.id}" aria-labelledby="part-{section.id}-title"{classes}>'
    return f'{head}\n<h2 id="part-{section.id}-title">{_safe(section.title)}</h2>\n{blocks}\n</section>'


def _block(block: Block) -> str:
    match block:
        case Text(text):
            return f"<p>{_safe(text)}</p>"
        case Items(items):
            return f"<ul>{''.join(f'<li>{_safe(item)}</li>' for item in items)}</ul>"
        case Figure(caption, panels, is_wide):
            kind = "panels wide" if is_wide else "panels"
            drawn = "\n".join(panel.svg for panel in panels)
            return (
                f'<figure><figcaption>{_safe(caption)}</figcaption><div class="{kind}">{drawn}</div></figure>'
            )
        case Table() if block.folded:
            return f"<details><summary>{_safe(block.caption)}</summary>{_table(block)}</details>"
    return _table(block)


def _table(table: Table) -> str:
    """Return a table that scrolls sideways on its own, by keyboard too."""
    titles = "".join(
        f'<th scope="col"{_words(at < table.texts)}>{_safe(title)}</th>'
        for at, title in enumerate(table.columns)
    )
    bodies = "".join(
        f"<tbody>{''.join(_row(row, table.texts) for row in group)}</tbody>"
        for group in table.groups
        if group
    )
    dense = " dense" if len(table.columns) > DENSE else ""
    label = f'role="region" aria-label="{_safe(table.caption)}" tabindex="0"'
    return (
        f'<div class="scroll{dense}" {label}><table><caption>{_safe(table.caption)}</caption>'
        f"<thead><tr>{titles}</tr></thead>{bodies}</table></div>"
    )


def _row(row: tuple[Cell, ...], texts: int) -> str:
    first = f'<th scope="row">{_safe(text_of(row[0]))}</th>'
    return f"<tr>{first}{''.join(_cell(cell, at < texts) for at, cell in enumerate(row[1:], start=1))}</tr>"


def _cell(cell: Cell, is_text: bool) -> str:
    if isinstance(cell, Shaded) and (level := min(int(cell.share * LEVELS + 0.5), LEVELS)) > 0:
        return f'<td class="h{level}">{_safe(cell.text)}</td>'
    return f"<td{_words(is_text)}>{_safe(text_of(cell))}</td>"


def _words(is_text: bool) -> str:
    return ' class="w"' if is_text else ""


def _first(at: int) -> str:
    return ' class="first"' if at == 0 else ""


def _safe(text: str) -> str:
    return escape(clean(text), quote=True)
