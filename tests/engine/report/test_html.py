"""The page: well-formed, self-contained, and drawn from the arrays."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from engine import report
from engine.report.contents import Document
from engine.report.formats import figures
from tests.engine.report.pages import ALLOWED, Page, svgs
from tests.engine.report.test_document import scores_of


@pytest.mark.parametrize("which", ["found", "hostile"])
def test_the_page_balances_and_needs_nothing_from_elsewhere(
    which: str, request: pytest.FixtureRequest
) -> None:
    text = report.render(request.getfixturevalue(which), "html")
    page = Page(text)
    assert not page.open and not page.wrong
    assert {tag for tag, _ in page.seen} <= ALLOWED
    attributes = {name for _, attrs in page.seen for name in attrs}
    assert not {name for name in attributes if name.startswith("on")} | attributes & {"src", "style"}
    assert all(attrs["href"].startswith("#") for tag, attrs in page.seen if tag == "a" and attrs["href"])
    assert "url(" not in text and "@import" not in text and "\x1b" not in text
    names = [attrs["id"] for _, attrs in page.seen if "id" in attrs]
    assert len(names) == len(set(names))
    told = {part for _, attrs in page.seen for part in (attrs.get("aria-labelledby") or "").split()}
    assert told <= set(names)
    assert {attrs["href"] for tag, attrs in page.seen if tag == "a"} <= {f"#{name}" for name in names}


def test_tables_have_captions_and_scoped_headers_and_drawings_have_words(found: Document) -> None:
    text = report.render(found, "html")
    page = Page(text)
    heads = [attrs.get("scope") for tag, attrs in page.seen if tag == "th"]
    assert set(heads) == {"col", "row"}
    tags = [tag for tag, _ in page.seen]
    assert tags.count("table") == tags.count("caption") == tags.count("thead") > 15
    drawn = svgs(text)
    assert len(drawn) == 1 + 2 * 4 + 4  # bars, a ROC panel a model and set, scores at both ends
    for one in drawn:
        assert [child.tag for child in one[:2]] == ["title", "desc"] and all(c.text for c in one[:2])
        assert one.get("role") == "img"
    rows = re.findall(r"<tr>(.*?)</tr>", text)
    for body in re.findall(r"<table>.*?</table>", text, re.DOTALL):
        widths = {len(re.findall(r"<t[hd][ >]", row)) for row in re.findall(r"<tr>(.*?)</tr>", body)}
        assert len(widths) == 1
    assert rows


def test_a_number_on_the_page_is_the_one_scikit_learn_finds(found: Document, recorded: Path) -> None:
    text = report.render(found, "html")
    labels, scores = scores_of(recorded, "vit-narrow W4A4", "digits")
    expected = f"{roc_auc_score(labels, scores):.4f}"
    table = re.search(r"<caption>AUROC, MSP</caption>.*?</table>", text, re.DOTALL)
    assert table is not None
    row = re.search(r'<th scope="row">vit-narrow W4A4</th>(.*?)</tr>', table[0])
    assert row is not None
    cells = re.findall(r"<td>(.*?)</td>", row[1])
    assert cells[found.plan.ood_sets.index("digits")] == expected


def test_curves_in_the_drawing_go_through_points_of_the_whole_curve(found: Document, recorded: Path) -> None:
    text = report.render(found, "html")
    panel = next(one for one in svgs(text) if one[0].text == "ROC curves: deit3-wide, noise")
    curves = [c for c in panel.iter("path") if (c.get("class") or "").startswith("line")]
    assert len(curves) == len(found.plan.bits)
    for bits, curve in zip(("FP32", "W8A8", "W4A4"), curves, strict=True):
        assert curve.get("class") == f"line s{figures.style_of(bits)}"
        at = np.array([part.split() for part in (curve.get("d") or "")[1:].split("L")], float)
        fpr = (at[:, 0] - figures.LEFT) / figures.SIDE
        tpr = 1 - (at[:, 1] - figures.TOP) / figures.SIDE
        x, y, _ = roc_curve(*scores_of(recorded, f"deit3-wide {bits}", "noise"), drop_intermediate=False)
        distance = np.maximum(np.abs(x[:, None] - fpr), np.abs(y[:, None] - tpr)).min(axis=0)
        assert distance.max() < 1e-4 and len(fpr) > 20
        assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == pytest.approx((0, 0, 1, 1), abs=1e-4)


def test_bars_end_where_the_means_are(found: Document) -> None:
    figure = figures.losses(found)
    assert figure is not None
    drawing = ElementTree.fromstring(figure.panels[0].svg)
    ticks = {
        float(t.text or ""): float(t.get("x") or "")
        for t in drawing.iter("text")
        if t.get("class") == "tick" and re.fullmatch(r"[+-]?[\d.]+", t.text or "")
    }
    (a, xa), (b, xb) = sorted(ticks.items())[:: len(ticks) - 1]
    bars = list(drawing.iter("rect"))
    means = [of_bits[bits] for bits in found.by_bits for of_bits in found.by_pretraining.values()]
    assert len(bars) == len(means) == 4
    for bar, mean in zip(bars, means, strict=True):
        left, width = (float(bar.get(name) or "") for name in ("x", "width"))
        end = left + width if mean.value > 0 else left
        assert a + (end - xa) / (xb - xa) * (b - a) == pytest.approx(mean.value * 100, abs=0.05)


def test_histograms_hold_every_image(found: Document, recorded: Path) -> None:
    assert [one.variant for one in found.histograms] == [
        f"{model} {bits}" for model in found.plan.models for bits in ("FP32", "W4A4")
    ]
    for one in found.histograms:
        for name in ("fractals", *found.plan.ood_sets):
            assert sum(one.shares[name]) + one.beyond[name] == pytest.approx(1, abs=1e-4)
    one = found.histograms[1]
    labels, scores = scores_of(recorded, one.variant, "noise")
    assert one.shares["noise"][10] == pytest.approx(
        np.mean((scores[labels == 1] >= one.edges[10]) & (scores[labels == 1] < one.edges[11])), abs=1e-5
    )
