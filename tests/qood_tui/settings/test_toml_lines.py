from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qood_tui.settings.toml_lines import lines


@pytest.mark.parametrize(
    ("text", "names", "line"),
    [
        ("theme = 'dark'", ("theme",), 1),
        ("\n# keys = 1\r\n\r\nkeys.start = 's'", ("keys", "start"), 4),
        ("[keys]\nstart = 's'", ("keys",), 1),
        ("[keys]\nstart = 's'", ("keys", "start"), 2),
        ("[ 'keys' ]\n\n\"st\\u0061rt\" = 's'", ("keys", "start"), 3),
        ("keys = { start = 's', end = [\n'a',\n'b'], quit = 'q' }", ("keys", "quit"), 3),
        ("a = '''\n[keys]\nb = 1'''\nb = 2", ("b",), 4),
        ('a = """\n\\"""\nb = 1"""""\nb = 2', ("b",), 4),
        ("a = [\n['b = 1', '''\n]'''], # ]\n{ b = 2 },\n]\nb = 2", ("b",), 6),
        ("a = 1979-05-27 07:32:00\nb = 2", ("b",), 2),
        ("[[a]]\nb = 1\n[[a]]\nb = 2", ("a",), 1),
        ('a = ""\n"" = 1\n', ("",), 2),
    ],
)
def test_a_key_is_found_on_its_line(text: str, names: tuple[str, ...], line: int) -> None:
    tomllib.loads(text)
    assert lines(text)[names] == line


NAMES = st.sampled_from(["a", "b-1", "c", '"d.#"', "'=]'", '"\\u0065"', '""'])
DOTTED = st.lists(NAMES, min_size=1, max_size=3).map(" . ".join)
ATOMS = ["1", "true", "1979-05-27 07:32:00", "'\"#'", '"]\\"}"', "'''\n[a]\n'''''", '"""\\"""\nc = 1"""""']
GAPS = st.sampled_from(["", " ", "\n", "# ]}\n", "\r\n"])


def listed(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(GAPS, st.lists(values, max_size=3), GAPS).map(
        lambda t: f"[{t[0]}{', '.join(t[1])}{t[2]}]"
    )


def inline(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.lists(st.builds("{} = {}".format, DOTTED, values), max_size=3)
    return pairs.map(lambda pairs: f"{{ {', '.join(pairs)} }}")


VALUES = st.recursive(st.sampled_from(ATOMS), lambda inner: listed(inner) | inline(inner), max_leaves=6)
STATEMENTS = (
    st.builds("{} = {} # end\n".format, DOTTED, VALUES)
    | st.builds("[ {} ]\n".format, DOTTED)
    | st.builds("[[{}]]\r\n".format, DOTTED)
    | GAPS
)


@given(st.lists(STATEMENTS, max_size=8).map("".join))
def test_every_key_that_tomllib_finds_has_a_line(text: str) -> None:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = lines(text)
    wanted = {(key,) for key in data}
    wanted |= {(key, inner) for key, value in data.items() if isinstance(value, dict) for inner in value}
    assert wanted <= set(found)
    assert all(isinstance(data[names[0]], list) for names in set(found) - wanted)
    rows = text.replace("\r\n", "\n").split("\n")
    assert all(1 <= line <= len(rows) for line in found.values())


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
