from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qood_tui.settings.toml_lines import MOST_LINES, lines


@pytest.mark.parametrize(
    ("text", "names", "line"),
    [
        ("theme = 'dark'", ("theme",), 1),
        ("\n# keys = 1\r\n\r\nkeys.start = 's'", ("keys", "start"), 4),
        ("[keys]\nstart = 's'", ("keys",), 1),
        ("[keys]\nstart = 's'", ("keys", "start"), 2),
        ("[keys]\na = 1\n[other]\nstart = 's'", ("other", "start"), 4),
        ("[ 'keys' ]\n\n\"st\\u0061rt\" = 's'", ("keys", "start"), 3),
        ("\nkeys = { start = 's', end = [\n'a',\n'b'], quit = 'q' }", ("keys", "quit"), 2),
        ("a = '''\n[keys]\nb = 1'''\nb = 2", ("b",), 4),
        ('a = """\n\\"""\nb = 1"""""\nb = 2', ("b",), 4),
        ("a = [\n['b = 1', '''\n]'''], # ]\n{ b = 2 },\n]\nb = 2", ("b",), 6),
        ("[[a]]\nb = 1\n[[a]]\nb = 2", ("a",), 1),
        ("[a.b.c]\nd = 1", ("a", "b"), 1),
        ('a = ""\n"" = 1\n', ("",), 2),
    ],
)
def test_a_key_has_the_line_of_its_statement(text: str, names: tuple[str, ...], line: int) -> None:
    tomllib.loads(text)
    assert lines(text)[names] == line


def test_a_value_of_very_many_lines_is_refused() -> None:
    rows = "\n" * (MOST_LINES - 2)
    assert lines(f"a = [{rows}]\nb = 1")["b",] == MOST_LINES
    with pytest.raises(ValueError, match=r"at most 100 lines \(at line 2,"):
        lines(f"a = 1\nb = [{rows}\n\n]")


FILLING = ["", "# start = 1", "  # [keys]", "\t"]
ROWS = [
    "'x'",
    '["a",\n "b"]',
    '"""\nkey0 = 1\n[t]\n"""',
    "'''#\n'''",
    "[ # ]\n [1]\n]",
    "{ key0 = '}' }",
    "1.5",
]


@given(st.data(), st.lists(st.sampled_from(ROWS), min_size=1, max_size=8), st.booleans())
def test_lines_are_right(data: st.DataObject, values: list[str], in_table: bool) -> None:
    rows = ["[table]"] if in_table else []
    expected = {}
    for number, value in enumerate(values):
        rows += data.draw(st.lists(st.sampled_from(FILLING), max_size=3))
        name = f"key{number}"
        written = data.draw(st.sampled_from([name, json.dumps(name), f"'{name}'"]))
        expected["table", name] = len(rows) + 1
        rows += f"{'' if in_table else 'table . '}{written}={value} # end".split("\n")
    text = data.draw(st.sampled_from(["\n", "\r\n"])).join(rows)
    tomllib.loads(text)
    found = lines(text)
    assert {names: found[names] for names in expected} == expected
