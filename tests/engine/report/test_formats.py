"""LaTeX, CSV, JSON and what all formats have in common."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine import report
from engine.errors import InputError
from engine.measure.measures import COMPARED, COMPARED_OF_LABELS, MEASURES
from engine.report.contents import Checked, Document, Mismatch
from engine.report.formats import escaping
from tests.engine.report.pages import Page


@pytest.mark.parametrize("which", ["found", "hostile"])
def test_latex_environments_balance_and_every_row_has_all_cells(
    which: str, request: pytest.FixtureRequest
) -> None:
    text = report.render(request.getfixturevalue(which), "latex")
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    stack = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", body):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack and body.count(r"\begin{longtable}") >= 8
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", body):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    for table in re.findall(
        r"\\begin\{longtable\}\{@\{\}([lr]+)@\{\}\}(.*?)\\end\{longtable\}", body, re.DOTALL
    ):
        rows = [line for line in table[1].splitlines() if line.endswith(r"\\") and "caption" not in line]
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(table[0])}


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no LaTeX on this machine")
@pytest.mark.parametrize("which", ["found", "hostile"])
def test_latex_compiles(which: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    (tmp_path / "report.tex").write_text(report.render(request.getfixturevalue(which), "latex"))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "report.tex"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60)
    assert ran.returncode == 0, ran.stdout.decode(errors="replace")[-2000:]


def test_signs_in_latex_are_minus_signs_and_dashes_stay_dashes() -> None:
    assert escaping.latex("-0.3 to +2.1") == "$-$0.3 to +2.1"
    assert escaping.latex("vit-wide --x") == "vit{-}wide {-}{-}x"


def test_csv_has_every_cell_its_mean_and_what_was_lost(found: Document) -> None:
    rows = list(csv.DictReader(io.StringIO(report.render(found, "csv"))))
    assert len(rows) == 6 * 3 * (4 + 1)
    one = next(
        r
        for r in rows
        if (r["model"], r["bits"], r["set"], r["score"]) == ("deit3-wide", "W4A4", "noise", "msp")
    )
    delta = next(d for d in found.deltas if d.variant == "deit3-wide W4A4").sets("ap_out")["noise"]
    assert float(one["ap_out_lost"]) == delta.value and float(one["ap_out_lost_low"]) == delta.low
    whole = next(
        r
        for r in rows
        if (r["model"], r["bits"], r["set"], r["score"]) == ("deit3-wide", "FP32", "noise", "msp")
    )
    assert float(whole["ap_out"]) - float(one["ap_out"]) == pytest.approx(delta.value, abs=1e-6)
    means = [r for r in rows if r["set"] == "(mean)" and r["bits"] == "FP32" and r["score"] == "energy"]
    of_sets = [r for r in rows if r["set"] != "(mean)" and r["bits"] == "FP32" and r["score"] == "energy"]
    assert float(means[0]["auroc"]) == pytest.approx(np.mean([float(r["auroc"]) for r in of_sets[:4]]))


def test_json_has_everything(found: Document) -> None:
    told = json.loads(report.render(found, "json"))
    assert set(told) == set(Document.__struct_fields__)
    assert told["checked"]["mismatches"] == []


def test_every_measure_is_in_every_format(found: Document) -> None:
    texts = {form: report.render(found, form) for form in report.FORMATS}
    page = Page(texts["html"]).text
    for measure in MEASURES.values():
        has_deltas = measure in (*COMPARED, *COMPARED_OF_LABELS)
        assert f'"{measure.id}"' in texts["json"] and f",{measure.id}," in texts["csv"]
        assert (f"{measure.name_of_delta}_lost_p_holm" in texts["csv"]) == has_deltas
        for text in (texts["md"], page):
            assert text.count(measure.label) >= 2 and f"{measure.label}: {measure.definition[:30]}" in text
        if has_deltas or not measure.is_by_set:
            assert escaping.latex(measure.label) in texts["latex"]


@pytest.mark.parametrize("form", ["html", "md", "latex", "json"])
def test_what_does_not_agree_is_said_at_the_top(found: Document, form: str) -> None:
    wrong = Mismatch("vit-narrow W4A4", "noise", "auroc", "0.9", "0.8")
    text = report.render(msgspec.structs.replace(found, checked=Checked(9, 9, (wrong,))), form)
    if form == "json":
        assert json.loads(text)["checked"]["mismatches"][0]["journal"] == "0.9"
        return
    said = Page(text).text if form == "html" else text
    at = said.index("vit-narrow W4A4, noise, auroc: the journal says 0.9, the arrays say 0.8")
    assert at < said.index("State: finished") and "disagree" in said.lower()[: at + 10]


def test_of_very_many_that_do_not_agree_the_first_are_named_and_json_has_all(found: Document) -> None:
    many = tuple(Mismatch("", "", f"measure {at}", "1", "2") for at in range(500))
    found = msgspec.structs.replace(found, checked=Checked(500, 0, many))
    text = report.render(found, "md")
    assert "measure 59:" in text and "measure 60:" not in text and "and 440 more" in text
    assert len(json.loads(report.render(found, "json"))["checked"]["mismatches"]) == 500


def test_relative_losses_are_over_the_value_in_floating_point(found: Document) -> None:
    text = report.render(found, "md")
    row = next(d for d in found.deltas if d.variant == "deit3-wide W4A4")
    whole = found.row("deit3-wide FP32")
    cell = whole.cell("msp", "noise") if whole else None
    auroc = cell.value("auroc") if cell else None
    assert auroc is not None
    delta = row.sets("auroc")["noise"]
    low, high = delta.low / auroc, delta.high / auroc
    assert delta.relative == pytest.approx(delta.value / auroc, abs=1e-6)
    assert f"{delta.relative:+.1%} ({low:+.1%} to {high:+.1%})" in text


def test_an_unknown_format_is_refused_with_the_choices(found: Document) -> None:
    with pytest.raises(InputError, match=f"choose from {', '.join(report.FORMATS)}"):
        report.render(found, "qqq")
