"""Terminal sizes, in columns and lines, at which screens change their layout: one set for all of them."""

from __future__ import annotations

LEAST = (60, 16)  # below this only the findings are shown
USUAL = (80, 24)  # what doctor asks for
MEDIUM = 100  # columns from which all slots of panes, or all groups of choices, are visible at once
WIDE = 140  # columns from which panes lie in two columns
TALL = 46  # lines from which a wide terminal shows two figures and two tables
