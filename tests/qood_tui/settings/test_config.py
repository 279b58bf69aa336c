from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App
from textual.binding import Binding

from engine.errors import InputError
from qood_tui.settings import config
from qood_tui.settings.actions import GROUPS
from qood_tui.settings.config import UNBOUND, Config, examine, keymap, read


def put(folder: Path, content: str | bytes) -> Path:
    file = folder / "config.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def test_the_file_lies_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QOOD_CONFIG", str(put(tmp_path, "ascii = true")))
    assert config.path() == tmp_path / "config.toml"
    assert read().ascii
    monkeypatch.delenv("QOOD_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config.path() == tmp_path / "qood-tui" / "config.toml"
    monkeypatch.setenv("QOOD_CONFIG", "~nobody-of-that-name/x")
    with pytest.raises(InputError, match="QOOD_CONFIG"):
        read()


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert read(tmp_path / "none.toml") == Config()
    assert read(Path(os.devnull)) == Config()
    assert read(put(tmp_path, "")) == Config(theme="auto", ascii=False, keys={})


def test_what_is_configured_is_read(tmp_path: Path) -> None:
    file = put(
        tmp_path, "\ufefftheme = 'light'\nascii = true\nkeys = { start = 'g', quit = ['Q', 'ctrl+q'] }"
    )
    assert read(file) == Config(theme="light", ascii=True, keys={"start": "g", "quit": ["Q", "ctrl+q"]})


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("theme = 'drak'", 1, ("theme", "'drak'", "did you mean dark?")),
        ("\ntheme = 1", 2, ("theme", "1 cannot", "'auto', 'dark', 'light', 'terminal'")),
        ("ascii = 'yes'", 1, ("ascii", "'yes'", "true or false, without quotes")),
        ("ascii = 1", 1, ("ascii", "true or false")),
        ("thme = 'dark'", 1, ("thme", "did you mean theme?")),
        ("zzz = 0", 1, ("zzz", "choose from", "keys")),
        ("start = 's'", 1, ("start", "put it under [keys]")),
        ("keys = 's'", 1, ("keys", "[keys]")),
        ("[[keys]]\nstart = 's'", 1, ("keys", "a list", "[keys]")),
        ("[keys]\n# first\n\nnext_modl = 'm'", 4, ("keys.next_modl", "did you mean next_model")),
        ("[keys]\ntheme = 'dark'", 2, ("keys.theme", "put it above [keys]")),
        ("[keys]\nqqqqqqqq = 'm'", 2, ("keys.qqqqqqqq", "config show")),
        ('[keys]\nstart = "s"\n"\\u001b[31m" = "m"', 3, ("keys.", "\\x1b")),
        ("[keys]\nstart = 1", 2, ("keys.start", "1 cannot", "a list of keys")),
        ("[keys]\nstart.key = 's'", 2, ("keys.start", "a table")),
        ("[keys]\nstart = ['s', 1]", 2, ("keys.start", "a list")),
        ("[keys]\nstart = 1979-05-27", 2, ("keys.start", "1979-05-27")),
        (f"[keys]\nstart = 0x{'f' * 900}", 2, ("keys.start", "a large number")),
        ("[keys]\nstart = [\n's',\n'pgup']", 2, ("keys.start", "'pgup'", "did you mean pageup?")),
        ("keys.start = 'ctrl+q'", 1, ("keys.start", "ctrl+q", "quits")),
        ("[keys]\nnext_model = 'x'", 2, ("keys.next_model", "'x'", "next_view", "same screen")),
        ("[keys]\nhelp = 'm'", 2, ("keys.help", "next_model")),
        ("[keys]\ntoggle_play = '1'", 2, ("keys.toggle_play", "pane_curves")),
        (
            "[keys]\nnext_set = '?'\nhelp = ['f1', 'question_mark']",
            3,
            ("keys.help", "question_mark", "next_set"),
        ),
        ("ascii = true\ntheme = ", 2, ("theme =", "TOML")),
        ("ascii = true\nascii = false", 2, ("ascii = false", "TOML")),
        ("theme = '''\ndark\n\n", 2, ("TOML", "'dark'")),
        ("theme = 'dark'\n\x1b]0;x\x07 = 1", 2, ("TOML", "\\x1b")),
        (f"ascii = true\n#{'x' * 2000}", 2, ("characters",)),
        (f"ascii = true\nkeys.start = [{chr(10) * 200}]", 2, ("keys.start = [", "at most 100 lines")),
    ],
)
def test_an_error_names_file_line_key_and_what_would_be_right(
    text: str, line: int, words: tuple[str, ...], tmp_path: Path
) -> None:
    file = put(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read(file)
    said = str(caught.value)
    assert said.startswith(f"{file} line {line}"), said
    assert all(word in said for word in words), said
    assert said.isprintable() and len(said) < 1000


def test_all_problems_are_found_in_the_order_of_lines(tmp_path: Path) -> None:
    text = (
        "colour = 1\n[keys]\nnext_modl = 'm'\nstart = ['nokey', 'Nokey', 's']\nnext_model = 'x'\nquit = 'o'\n"
    )
    found, wrong = examine(put(tmp_path, "theme = 'drk'\nascii = 2\n" + text))
    where = [error.field.split(" line ")[1] for error in wrong]
    assert where == [
        "1, theme",
        "2, ascii",
        "3, colour",
        "5, keys.next_modl",
        "6, keys.start",
        "6, keys.start",
        "7, keys.next_model",
        *["8, keys.quit"] * 3,
    ]
    assert found == Config()


def test_a_key_that_was_given_up_can_be_used_again(tmp_path: Path) -> None:
    swapped = "[keys]\nnext_model = 'M'\nprevious_model = 'm'\nnext_view = 'v'\nmark = []\ncopy = ['y', 'y']"
    assert keymap(read(put(tmp_path, swapped))) == {
        "next_model": "M",
        "previous_model": "m",
        "next_view": "v",
        "mark": UNBOUND,
    }


def test_the_same_key_on_different_screens_is_no_clash(tmp_path: Path) -> None:
    assert read(put(tmp_path, "keys.start = 'm'")).keys == {"start": "m"}


def test_a_keymap_has_textuals_names() -> None:
    keys = {"help": ["?", "shift+h"], "faster": ["+", "ctrl+alt+up"], "quit": ","}
    made = {"help": "question_mark,H", "faster": "plus,alt+ctrl+up", "quit": "comma"}
    assert keymap(Config(keys=keys)) == made


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"ascii = true\n# caf\xe9", ("line 2", "caf", "UTF-8")),
        (b"\xff\xfe", ("line 1", "UTF-8")),
        (b"#" * 70_000, ("too large", "64.0 KiB")),
        (b"a = " + b"[" * 900 + b"\n" + b"[" * 900, ("nested",)),
    ],
)
def test_what_is_no_configuration_is_refused_in_words(
    content: bytes, words: tuple[str, ...], tmp_path: Path
) -> None:
    file = put(tmp_path, content)
    with pytest.raises(InputError) as caught:
        read(file)
    said = str(caught.value)
    assert all(word in said for word in words) and str(file) in said and said.isprintable()


def test_what_is_no_file_is_refused_in_words(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for place in (tmp_path, pipe, loop, put(tmp_path, "") / "below", Path("nul\0"), Path("/dev/zero")):
        with pytest.raises(InputError) as caught:
            read(place)
        assert "config" in str(caught.value) and str(caught.value).isprintable()


STRANGE = {
    "tables": "\n".join(f"[a{i}]" for i in range(9_000)),
    "dotted": "\n".join(f"a{i}.b = 1" for i in range(5_000)),
    "deep": "\n".join("a" + str(i) + ".a" * 480 + " = 1" for i in range(65)),
    "blank": "keys = [\n" + "\n" * 65_000 + "]",
    "quotes": "a = '''" + "'\n" * 30_000 + "'''",
    "actions": "[keys]\n" + "\n".join(f"a{i} = 'm'" for i in range(5_000)),
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_file_is_refused_soon(name: str, tmp_path: Path) -> None:
    begun = time.process_time()
    assert examine(put(tmp_path, STRANGE[name]))[1]
    assert time.process_time() - begun < 15


WORDS = [
    "theme",
    "ascii",
    "keys",
    "[keys]",
    "start",
    "quit",
    "=",
    " ",
    "\n",
    "'",
    '"',
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
]


@given(st.binary(max_size=60) | st.lists(st.sampled_from([*WORDS, "true", "'m'", "1", "\\"])).map("".join))
def test_any_bytes_are_a_configuration_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, content: str | bytes
) -> None:
    found, wrong = examine(put(tmp_path_factory.getbasetemp(), content))
    assert isinstance(found, Config)
    assert all(isinstance(error, InputError) and str(error).isprintable() for error in wrong)
    keymap(found)


NAMES = [action.id for group in GROUPS.values() for action in group]
UNBOUND_ROWS = [["[]"], ["[", "]"], ["[ # ]", "]"]]


@given(st.data(), st.lists(st.sampled_from(NAMES), unique=True, min_size=1, max_size=5), st.booleans())
def test_the_line_of_a_wrong_key_is_right(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, names: list[str], dotted: bool
) -> None:
    rows = ["ascii = true"] if dotted else ['theme = """\\', 'dark"""', "[keys]"]
    wrong = data.draw(st.sampled_from(names))
    for name in names:
        rows += data.draw(st.lists(st.sampled_from(["", "# keys.start = 's'", "  "]), max_size=4))
        if name == wrong:
            line = len(rows) + 1
        value = ["[", "'no key'", "]"] if name == wrong else data.draw(st.sampled_from(UNBOUND_ROWS))
        written = data.draw(st.sampled_from([name, json.dumps(name)]))
        rows += [f"{'keys.' if dotted else ''}{written} = {value[0]}", *value[1:]]
    found = examine(put(tmp_path_factory.getbasetemp(), "\n".join(rows)))[1]
    assert [error.field.split(" line ")[1] for error in found] == [f"{line}, keys.{wrong}"]


class Keys(App[None]):
    BINDINGS = [
        Binding("s,ctrl+g", "note('start')", id="start"),
        Binding("m", "note('next_model')", id="next_model"),
        Binding("M", "note('previous_model')", id="previous_model"),
        Binding("x", "note('next_view')", id="next_view"),
        Binding("z", "note('toggle_maximise')", id="toggle_maximise"),
        Binding("question_mark", "note('help')", id="help"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []

    def action_note(self, name: str) -> None:
        self.done.append(name)


async def test_textual_obeys_the_keymap(tmp_path: Path) -> None:
    text = (
        "[keys]\nstart = ['!', 'alt+M']\nnext_model = 'M'\nprevious_model = 'm'\n"
        "next_view = []\ntoggle_maximise = []\nhelp = ['ctrl+\\', 'shift+h']\n"
    )
    app = Keys()
    async with app.run_test() as pilot:
        app.set_keymap(keymap(read(put(tmp_path, text))))
        await pilot.press("s", "ctrl+g", "x", "z", "question_mark", "h")
        assert app.done == []
        await pilot.press("!", "alt+shift+m", "M", "m", "ctrl+backslash", "H")
    assert app.done == ["start", "start", "next_model", "previous_model", "help", "help"]


@pytest.mark.parametrize("value", ["1", "true", '"relative/x"', '"."', '"~nobody-of-that-name/x"', "[]"])
def test_a_folder_of_sessions_that_cannot_be_is_named(tmp_path: Path, value: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"ascii = true\nsession_dir = {value}")
    (problem,) = examine(file)[1]
    assert "line 2, session_dir" in problem.field and (
        "absolute" in problem.right or "quotes" in problem.right
    )


def test_a_folder_of_sessions_is_absolute_or_from_home(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    for value in ("/data/sessions", "~/sessions", ""):
        file.write_text(f'session_dir = "{value}"')
        assert examine(file) == (Config(session_dir=value), [])
