"""Text in which nothing is markup, a command or a formula: for markdown, LaTeX and spreadsheets."""

from __future__ import annotations

import re

from engine.text import clean

_MARKUP = re.compile(r"[\\`<>\[\]|$]|&(?=[#\w])|(?<!\w)_|_(?!\w)|~(?=~)|\*(?!(?<=\d\*)(?: |$))")
_LINK = re.compile(r"(?<=\w):(?=//)|(?<=www)\.", re.IGNORECASE)
_SIGN = re.compile(r"(?<![\w.}])\{-\}(?=\d)")
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "-": "{-}",  # two of them would become one dash
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def markdown(text: str) -> str:
    """Return text in which nothing is markup; a star after a number stays as it is."""
    return _LINK.sub(lambda match: f"\\{match[0]}", _MARKUP.sub(lambda match: f"\\{match[0]}", clean(text)))


def latex(text: str) -> str:
    """Return text in which nothing is a command; letters that LaTeX lacks become question marks."""
    return _SIGN.sub("$-$", "".join(map(_letter, clean(text))))


def _letter(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character.isascii() or "À" <= character <= "ÿ":  # fontenc T1 has all of these
        return character
    return "?"


def spreadsheet(cell: object) -> object:
    """Return a cell that no spreadsheet treats as a formula."""
    if not isinstance(cell, str):
        return cell
    text = clean(cell)
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text
