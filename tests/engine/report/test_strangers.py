"""A report of a session from a stranger: shown harmlessly in every format."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest

from engine import report
from engine.report.contents import Document
from engine.report.formats import escaping
from engine.session.session import Session
from tests.engine.report.pages import ALLOWED, HOSTILE, Page, spoilt_data, svgs
from tests.engine.report.test_document import edit_last
from tests.journals import Plain, rewrite


@pytest.mark.parametrize("form", report.FORMATS)
def test_nothing_in_a_journal_becomes_markup_or_moves_a_terminal(hostile: Document, form: str) -> None:
    text = report.render(hostile, form)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)
    if form == "html":
        assert "<img" not in text and "alert(1)" in text and "</script>" not in text
    if form == "md":
        assert not re.search(r"(?<!\\)<img", text)
        assert not re.search(r"(?<!\\)\]\(", text) and "http://" not in text
        assert not re.search(r"^\W*# x", text, re.MULTILINE)
    if form == "latex":
        body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
        assert r"\input" not in body and r"\textbackslash{}input" in body
    if form == "csv":
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
        assert not [c for c in cells if c[:1] in "=+-@" and c[:1] and not re.fullmatch(r"-?[\d.e-]+", c)]
        assert any(c.startswith("'=cmd") for c in cells)


def test_a_journal_with_markup_in_every_string_is_reported_harmlessly(copied: Path) -> None:
    kinds = ("variant.measured", "curves.drawn", "deltas.tabled", "chunk.finished")

    def spoil(position: int, line: Plain) -> None:
        if position and line["event"]["type"] not in kinds:
            line["event"] = spoilt_data(line["event"])
        elif not position:
            line.update(dict.fromkeys(("id", "created", "app", "identity"), HOSTILE))

    rewrite(copied, spoil)
    spoilt = report.document(Session.at(copied))
    assert [one.partition(":")[0] for one in spoilt.mismatches] == ["image sets"]
    assert "alert(1)" in spoilt.models[0].origin
    for form in report.FORMATS:
        text = report.render(spoilt, form)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)
        assert form not in ("html", "md") or not re.search(r"(?<!\\)<img", text)
    assert {tag for tag, _ in Page(report.render(spoilt, "html")).seen} <= ALLOWED


def test_ends_beyond_all_bounds_and_variants_without_a_value_are_drawn_and_told(copied: Path) -> None:
    edit_last(
        copied,
        "deltas.tabled",
        lambda e: [d.update(low=-1e308, high=1e308) for d in e["by_bits"].values()],
    )
    for name in ("msp", "nll"):
        path = copied / "arrays" / f"{name}.npy"
        array = np.load(path)
        array[:, 2] = np.nan
        np.save(path, array)
    diverged = report.document(Session.at(copied), quick=True)
    assert any("vit-narrow W4A4: " in line and "NaN" in line for line in diverged.failures)
    assert "vit-narrow W4A4" not in {row.variant for row in diverged.deltas}
    for form in report.FORMATS:
        text = report.render(diverged, form)
        assert form in ("csv", "json") or "no value" in text or form == "latex"
        assert "nan" not in text.lower().replace("nan)", "").replace("scores are nan", "") or form == "json"
    assert len(svgs(report.render(diverged, "html"))) == 1 + 2 * 4 + 3  # no scores of the diverged one


def test_rows_of_markdown_tables_are_as_wide_as_their_heads(hostile: Document) -> None:
    width = 0
    for line in report.render(hostile, "md").splitlines():
        bars = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not (bars and width) or bars == width
        width = bars


def test_markdown_leaves_numbers_and_names_as_they_are() -> None:
    assert escaping.markdown("vit_small_patch16_224 W4A4: +5.3* (+2.1 to +8.4)") == (
        "vit_small_patch16_224 W4A4: +5.3* (+2.1 to +8.4)"
    )
    assert escaping.markdown("*a* _b_ <i> [x](y) `c` a|b") == r"\*a\* \_b\_ \<i\> \[x\](y) \`c\` a\|b"
