"""Names of keys, as users write them and as Textual spells them, without loading Textual."""

from __future__ import annotations

import difflib
import re
import string
import unicodedata

from engine.errors import InputError

SPECIAL = (
    *("up", "down", "left", "right", "home", "end", "pageup", "pagedown"),
    *("enter", "space", "tab", "escape", "backspace", "delete", "insert"),
    *(f"f{number}" for number in range(1, 25)),
)
_SHORTER = {
    "solidus": "slash",
    "reverse_solidus": "backslash",
    "commercial_at": "at",
    "hyphen_minus": "minus",
    "plus_sign": "plus",
    "low_line": "underscore",
}
_HELD = re.compile(r"(?:(?:alt|ctrl|shift)\+)*")
_MISTAKEN = {
    "ctrl+i": "most terminals send tab instead",
    "ctrl+m": "most terminals send enter instead",
    "ctrl+h": "most terminals send backspace instead",
    "ctrl+left_square_bracket": "most terminals send escape instead",
    "ctrl+space": "terminals disagree on what it sends",
    "ctrl+at": "terminals disagree on what it sends",
}
_RIGHT = (
    "give a letter, a digit, a symbol such as '?', f1 to f24, or a name such as space, left or pageup, "
    "optionally after ctrl+, alt+ or shift+"
)


def normal(field: str, given: str) -> str:
    """Return Textual's name of a key; raise InputError if it is unknown or terminals do not send it."""
    begin = _HELD.match(given)
    assert begin
    held = {name for name in begin.group().split("+") if name}
    base = given[begin.end() :]
    name = _base(base)
    if name is None:
        raise InputError(field, given[:40], _near(given, base))
    if held == {"shift"} and len(base) == 1 and base != " ":
        if base not in string.ascii_letters:
            raise InputError(field, given, "give the character that these keys type, such as '!'")
        return base.upper()
    if held and name in string.ascii_uppercase:
        name = name.lower()
        held |= {"shift"} if held == {"alt"} else set()
    full = "+".join([*sorted(held), name])
    if full in _MISTAKEN:
        raise InputError(field, given, f"{_MISTAKEN[full]}; choose another")
    return full


def _base(given: str) -> str | None:
    """Return the name of a key without modifiers, or None."""
    if given in SPECIAL or given in _SIGNS:
        return given
    return _of_character(given) if len(given) == 1 and given.isprintable() else None


def _of_character(character: str) -> str | None:
    if character.isalnum():
        return character
    name = unicodedata.name(character, "").lower().replace("-", "_").replace(" ", "_")
    return _SHORTER.get(name, name) or None


_SIGNS = frozenset(str(_of_character(character)) for character in string.punctuation)


def _near(given: str, base: str) -> str:
    """Return a suggestion for an unknown name."""
    lower = given.lower()
    begin = _HELD.match(lower)
    if lower != given and begin and _base(lower[begin.end() :]):
        return f"did you mean {lower}?"
    if "," in given:
        return 'give several keys as a list, such as ["a", "b"]'
    near = difflib.get_close_matches(base[:40].lower(), [*SPECIAL, *sorted(_SIGNS)], 1, 0.6)
    return f"did you mean {given[: -len(base)]}{near[0]}?" if near else _RIGHT
