from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from qood_tui.words import bar, clean, clip, duration, falling, fitted, roughly, squeeze, to_ascii, wrapped


def test_words() -> None:
    assert clip("photo-patches", 6) == "photo…" and clip("noise", 6) == "noise"
    assert clean("a\x1b[31mb\nc") == "a�[31mb�c"
    assert duration(None) == "-:--" and duration(61.2) == "1:01" and duration(7260) == "2 h 01"
    assert to_ascii(f"{bar(0.5, 4)} +1.0▼ photo…") == "==-- +1.0v photo~"
    assert roughly(74) == "70 s" and roughly(200) == "3 min" and roughly(9000) == "2.5 h"
    assert falling([4.0, 2.0, 1.0], 8) == "█▅▃" and falling([], 8) == "" and falling([0.0], 8) == ""


@given(st.text(), st.integers(0, 60))
def test_cut_words_are_never_longer_than_their_room_and_say_that_they_are_cut(text: str, width: int) -> None:
    for cut in (clip, squeeze):
        short = cut(text, width)
        assert len(short) <= max(width, 1)
        assert short == text or "…" in short


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200), st.integers(1, 50))
def test_wrapped_lines_fit(text: str, width: int) -> None:
    lines = wrapped(Text(text), width)
    assert all(line.cell_len <= width for line in lines)
    if all(len(word) <= width for word in clean(text).split()):
        assert " ".join(line.plain for line in lines).split() == clean(text).split()


@given(st.text(max_size=100), st.integers(1, 50))
def test_a_fitted_sentence_fits(text: str, width: int) -> None:
    assert fitted(Text(clean(text)), width).cell_len <= width + 1
