from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual._xterm_parser import XTermParser
from textual.keys import _character_to_key

from engine.errors import InputError
from qood_tui.settings.key_names import SPECIAL, normal


def sent(sequence: str) -> str:
    """Return the name under which Textual delivers what a terminal sends."""
    parser = XTermParser()
    events = [*parser.feed(sequence), *parser.feed("")]
    return str(events[0].key)  # type: ignore[attr-defined]


@pytest.mark.parametrize("character", [*string.ascii_letters, *string.digits, *string.punctuation, *" é§好"])
def test_a_character_has_the_name_that_textual_gives_it(character: str) -> None:
    assert normal("key", character) == _character_to_key(character) == sent(character)
    if character.isascii():
        assert normal("key", normal("key", character)) == normal("key", character)


@pytest.mark.parametrize(
    ("written", "sequence"),
    [
        ("shift+m", "M"),
        ("ctrl+g", "\x07"),
        ("ctrl+G", "\x07"),
        ("ctrl+\\", "\x1c"),
        ("ctrl+_", "\x1f"),
        ("alt+m", "\x1bm"),
        ("alt+M", "\x1bM"),
        ("shift+alt+m", "\x1bM"),
        ("ctrl+alt+m", "\x1b[109;7u"),
        ("ctrl++", "\x1b[43;5u"),
        ("shift+tab", "\x1b[Z"),
        ("shift+ctrl+up", "\x1b[1;6A"),
        ("f5", "\x1b[15~"),
    ],
)
def test_a_key_with_modifiers_has_the_name_of_what_terminals_send(written: str, sequence: str) -> None:
    assert normal("key", written) == sent(sequence)


def test_special_keys_are_known() -> None:
    assert {normal("key", name) for name in SPECIAL} == set(SPECIAL)
    assert {"f24", "pageup", "delete"} <= set(SPECIAL)


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("PageUp", "did you mean pageup?"),
        ("Ctrl+G", "did you mean ctrl+g?"),
        ("pgdn", "did you mean pagedown?"),
        ("ctrl+esc", "did you mean ctrl+escape?"),
        ("question", "did you mean question_mark?"),
        ("m,n", "a list"),
        ("", "a letter"),
        ("ctrl+", "a letter"),
        ("f25", "did you mean f"),
        ("\n", "a letter"),
        ("shift+1", "'!'"),
        ("ctrl+m", "enter"),
        ("ctrl+i", "tab"),
        ("ctrl+[", "escape"),
        ("super+x", "a letter"),
        ("x" * 100_000, "a letter"),
    ],
)
def test_a_key_that_is_none_or_never_arrives_is_refused(written: str, right: str) -> None:
    with pytest.raises(InputError) as caught:
        normal("keys.start", written)
    assert caught.value.field == "keys.start" and right in caught.value.right
    assert len(str(caught.value)) < 400


@given(st.text(max_size=12))
def test_any_text_is_a_key_or_an_input_error(text: str) -> None:
    try:
        name = normal("key", text)
    except InputError as error:
        assert str(error).isprintable()
    else:
        assert name and name.isprintable() and " " not in name and "," not in name
