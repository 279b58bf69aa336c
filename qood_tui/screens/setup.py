"""The set-up screen: pick what to sweep and see what it costs."""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Button, Footer, Input, Label, RadioSet, Select, Static

from engine import catalog, client, sessions
from engine.datasets.discover import ood_folder
from engine.errors import InputError, QoodError
from engine.plan import Plan, preset, validated
from engine.resources import Resources, parse_named
from qood_tui import actions
from qood_tui.cost import estimate, measured_pace
from qood_tui.screens.folder import FolderScreen
from qood_tui.screens.sessions import SessionsScreen
from qood_tui.widgets.choices import Choice, Group, Tick
from qood_tui.words import clean, roughly

SIZES = (
    ("share", "% of each set"),
    ("id_images", "ID images"),
    ("ood_images", "OOD images"),
    ("calibration_images", "calibration"),
    ("calibration_draws", "draws of it"),
    ("seed", "seed"),
)

TALL = 50  # rows in which all scores fit


class SetupScreen(Screen[None]):
    """Pick models × pretraining × bits × quantizer × OOD sets × headline score, then start."""

    CSS_PATH = "../styles/setup.tcss"
    BINDINGS = actions.bindings(actions.SETUP)

    class Opened(Message):
        """A session is to be shown; `live` is None where its journal must tell."""

        def __init__(self, session: Path, *, live: bool | None = None) -> None:
            super().__init__()
            self.session, self.live = session, live

    def __init__(self, plan: Plan | None, resources: Resources, *, root: Path | None = None) -> None:
        super().__init__()
        self.resources, self.root = resources, root
        self.plan = plan or preset("demo")
        self.is_real = not catalog.is_made(self.plan.id_set)
        hidden = ("id_images", "ood_images") if self.plan.share is not None else ("share",)
        self.sizes = [(field, label) for field, label in SIZES if field not in hidden]
        self.pace: float | None = None
        self._starting = False

    def compose(self) -> ComposeResult:
        """Lay out three columns of choices and the line that says what they cost."""
        yield Static("[bold]qood-tui[/]  what does quantization cost OOD detection?", id="title")
        with VerticalScroll(id="choices", can_focus=False), Horizontal():
            with Vertical(id="left"):
                yield from self._models()
                yield from _radio("quantizer", "Quantizer", list(catalog.QUANTIZERS), self.plan.quantizer)
            with Vertical():
                with Group("Bit settings", id="bits"):
                    for text in catalog.BITS:
                        yield Tick(text, text in self.plan.bits, name=text)
                with Vertical(id="headline_frame", classes="group") as frame:
                    frame.border_title = "Headline score"
                    names = [(score.label, name) for name, score in catalog.SCORES.items()]
                    yield Select(
                        names, value=self.plan.headline, allow_blank=False, id="headline", compact=True
                    )
                with Group("Scores", id="scores"), VerticalScroll(can_focus=False):
                    for name, score in catalog.SCORES.items():
                        yield Tick(score.label, name in self.plan.scores, name=name)
            with Vertical():
                with Group("OOD sets", id="ood_sets"):
                    for name in self._set_names():
                        yield Tick(name, name in self.plan.ood_sets, name=name)
                with Vertical(id="sizes", classes="group") as sizes:
                    sizes.border_title = "Sizes"
                    for field, label in self.sizes:
                        with Horizontal(classes="size"):
                            yield Label(label)
                            given = getattr(self.plan, field)
                            value = f"{given * 100:.0f}" if field == "share" else str(given)
                            yield Input(value, id=field, type="integer", compact=True, max_length=10)
        with Horizontal(id="bottom"):
            yield Static(id="cost")
            yield Button("Start the sweep", id="start", variant="primary", compact=True)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Show the cost and let the engine warm up while the user picks."""
        self.set_class(bool(getattr(self.app, "ascii_only", False)), "ascii")
        self.query(Tick).first(Tick).focus()
        self.refresh_cost()
        self.prepare()

    @work(thread=True, group="prepare")
    def prepare(self) -> None:
        """Start the engine ahead of need and learn its pace from earlier sessions."""
        self.pace = measured_pace(self.is_real)
        self.app.call_from_thread(self.refresh_cost)
        try:
            client.warm()
        except QoodError as error:
            self.app.call_from_thread(self.notify, str(error), severity="warning")

    def _models(self) -> ComposeResult:
        shown = [m for m in catalog.MODELS.values() if (m.trained_on == "imagenet") == self.is_real]
        families = list(dict.fromkeys(m.family for m in shown))
        pretrainings = list(dict.fromkeys(m.pretraining for m in shown))
        by_place = {(m.family, m.pretraining): m for m in shown}
        with Group("Models × pretraining", id="models"):
            for family in families:
                with Horizontal(classes="family"):
                    yield Label(family)
                    for pretraining in pretrainings:
                        model = by_place.get((family, pretraining))
                        words = pretraining.replace("ImageNet", "IN")
                        if model is None:
                            box = Tick(f"no {words}", disabled=True)
                            box.tooltip = f"The study has no {family} with {pretraining} pretraining"
                        else:
                            box = Tick(words, model.name in self.plan.models, name=model.name)
                            box.tooltip = f"{model.name} stands for {model.stands_for}"
                        yield box
            for name in dict.fromkeys((*self.resources.checkpoints, *self.plan.models)):
                if name not in catalog.MODELS:
                    yield Tick(clean(name), name in self.plan.models, name=name)
            real = (f"on {self.plan.id_set}", f"calibrated: {self.plan.calibration_set}")
            for note in real if self.is_real else ("miniatures, not ImageNet",):
                yield Label(clean(note), classes="note")

    def _set_names(self) -> tuple[str, ...]:
        if self.is_real:
            return self.plan.ood_sets
        made = [s.name for s in catalog.SETS.values() if s.role == "ood" and s.made]
        return (*made, *self.resources.ood)

    def chosen_plan(self) -> Plan:
        """Return the plan as picked; raise InputError where it cannot be."""
        headline = str(self.query_one("#headline", Select).value)
        sizes: dict[str, int | float] = {}
        for field, label in self.sizes:
            text = self.query_one(f"#{field}", Input).value
            if not text.isdecimal():
                raise InputError(label, text, "give a whole number")
            sizes[field] = int(text) / 100 if field == "share" else int(text)
        return validated(
            msgspec.structs.replace(
                self.plan,
                models=self._ticked("models"),
                bits=self._ticked("bits"),
                quantizer=self._pressed("quantizer"),
                ood_sets=self._ticked("ood_sets"),
                scores=tuple(dict.fromkeys((*self._ticked("scores"), headline))),
                headline=headline,
                **sizes,
            ),
            self.resources,
        )

    def _ticked(self, group: str) -> tuple[str, ...]:
        boxes = self.query(f"#{group} Tick").results(Tick)
        return tuple(str(box.name) for box in boxes if box.value and box.name)

    def _pressed(self, identity: str) -> str:
        button = self.query_one(f"#{identity}", RadioSet).pressed_button
        return str(button.label) if button else ""

    @on(Tick.Changed)
    @on(RadioSet.Changed)
    @on(Input.Changed)
    @on(Select.Changed)
    def refresh_cost(self) -> None:
        """Say what the choice costs, or why it cannot be."""
        line = self.query_one("#cost", Static)
        try:
            cost = estimate(self.chosen_plan(), self.resources, self.pace)
        except InputError as error:
            line.update(Text.assemble(("✗ ", "bold red"), clean(str(error))))
            return
        line.update(
            f"[bold]{cost.variants} variants × {cost.images:,} images[/], about {roughly(cost.seconds)}"
        )

    @on(Select.Changed, "#headline")
    def tick_headline(self, event: Select.Changed) -> None:
        """The headline score is one of the scores."""
        for box in self.query("#scores Tick").results(Tick):
            if box.name == event.value:
                box.value = True

    def on_resize(self) -> None:
        """Show all scores where there is room for them."""
        self.set_class(self.size.height >= TALL, "tall")

    @on(Button.Pressed, "#start")
    def start_pressed(self) -> None:
        """Start from the button as from the key."""
        self.action_start()

    def action_start(self) -> None:
        """Start the sweep and show it."""
        if self._starting:
            return
        try:
            plan = self.chosen_plan()
            used = {name: path for name, path in self.resources.ood.items() if name in plan.ood_sets}
            resources = msgspec.structs.replace(self.resources, ood=used)
            session = sessions.create(plan, resources.names(), self.root)
        except InputError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self._starting = True
        self.launch(session, resources)

    @work(thread=True, group="launch")
    def launch(self, session: Path, resources: Resources) -> None:
        """Hand the session to the engine without holding up the screen."""
        try:
            client.start(session, resources)
        except QoodError as error:
            self.app.call_from_thread(self.notify, str(error), severity="error", markup=False)
        else:
            self.post_message(self.Opened(session, live=True))
        self._starting = False

    def action_sessions(self) -> None:
        """List recorded sessions."""
        self.app.push_screen(SessionsScreen(), self._open_session)

    def _open_session(self, session: Path | None) -> None:
        if session is not None:
            self.post_message(self.Opened(session))

    def action_add_folder(self) -> None:
        """Ask for a folder of images."""
        self.app.push_screen(FolderScreen(), self._add_folder)

    def _add_folder(self, given: str | None) -> None:
        if not given:
            return
        try:
            named = parse_named("ood", (given,))
            name, folder = next(iter(named.items()))
            if name in self.resources.ood:
                raise InputError("ood", name, "this name is taken already, choose another")
            ood_folder(name, folder)
        except InputError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self.resources = msgspec.structs.replace(self.resources, ood={**self.resources.ood, **named})
        self.query_one("#ood_sets", Group).mount(Tick(clean(name), True, name=name))
        self.call_after_refresh(self.refresh_cost)


def _radio(identity: str, title: str, names: list[str], chosen: str) -> ComposeResult:
    with RadioSet(id=identity, compact=True, classes="group") as group:
        group.border_title = title
        for name in names:
            yield Choice(name, name == chosen)
