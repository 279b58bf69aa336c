"""All panes of the session screen, in the order of their tabs, and which of them are visible."""

from __future__ import annotations

from collections.abc import Mapping

from qood_tui.panes.base import Pane
from qood_tui.panes.bits import BitTablePane
from qood_tui.panes.curves import CurvesPane
from qood_tui.panes.deltas import DeltasPane
from qood_tui.panes.engine import EnginePane
from qood_tui.panes.histogram import HistogramPane
from qood_tui.panes.log import LogPane
from qood_tui.panes.matrix import MatrixPane
from qood_tui.panes.study import StudyPane
from qood_tui.terminal_size import MEDIUM, TALL, WIDE

PANES: tuple[type[Pane], ...] = (
    CurvesPane,
    HistogramPane,
    MatrixPane,
    StudyPane,
    DeltasPane,
    BitTablePane,
    EnginePane,
    LogPane,
)
SLOTS = tuple(dict.fromkeys(pane.SLOT for pane in PANES))
NAMES = tuple(pane.NAME for pane in PANES)


def visible_panes(
    columns: int, lines: int, focused: str, recent: Mapping[str, tuple[str, ...]], *, maximised: bool
) -> tuple[str, ...]:
    """Return the names of the visible panes.

    `recent` holds the panes of every slot, most recently focused first.
    """
    if maximised or columns < MEDIUM:
        return (focused,)
    shown: list[str] = []
    for slot in SLOTS:
        is_double = columns >= WIDE and (lines >= TALL or slot == "machine")
        shown += recent[slot][: 2 if is_double else 1]
    return tuple(name for name in NAMES if name in shown)
