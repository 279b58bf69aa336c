"""The set-up screen: pick what to sweep and see what it costs."""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Button

from engine import catalog
from engine.errors import InputError, QoodError
from engine.plan.plan import Plan, preset
from engine.plan.resources import Resources, merge
from engine.service import request
from engine.text import in_bytes
from qood_tui.screens.dialogs.search import Hit, SearchScreen
from qood_tui.screens.setup_actions import SetupActions
from qood_tui.settings.bindings import bindings
from qood_tui.setup import choices
from qood_tui.setup.choices import LAST
from qood_tui.setup.cost import estimate
from qood_tui.widgets.lines import Lines
from qood_tui.widgets.numbers import Numbers
from qood_tui.widgets.picks import Picks
from qood_tui.widgets.strips import StripPart
from qood_tui.widgets.summary import PlanSummary
from qood_tui.words import clean, fitted, roughly, wrapped

# Columns of a wide terminal, each with its groups from top to bottom; the digits choose groups in this order.
COLUMNS = (
    ("presets", "models", "method"),
    ("bits", "id_set", "calibration_set", "sizes"),
    ("ood_sets", "scores"),
)
LABELS = {
    "presets": "Preset",
    "models": "Models × pretraining",
    "method": "Method",
    "bits": "Bit settings",
    "id_set": "ID set",
    "calibration_set": "Calibration and fit set",
    "sizes": "Sizes",
    "ood_sets": "OOD sets",
    "scores": "Scores, ★ headline",
}
SINGLE = ("presets", "method", "id_set", "calibration_set")
ORDER = tuple(name for column in COLUMNS for name in column)
NARROW = 100  # columns from which all groups are in sight at once


class SetupScreen(SetupActions):
    """Pick models × pretraining × bits × method × sets × scores × sizes, then start."""

    CSS_PATH = "../styles/setup.tcss"
    AUTO_FOCUS = ""
    GROUPS = ("Set-up",)
    BINDINGS = [
        *bindings("Set-up"),
        Binding("tab", "next_group", show=False),
        Binding("shift+tab", "next_group(-1)", show=False),
        *(Binding(str(number), f"group({number})", show=False) for number in range(1, len(ORDER) + 1)),
    ]

    def __init__(self, plan: Plan | None, resources: Resources, *, root: Path | None = None) -> None:
        super().__init__(plan, resources, root=root)
        self.group = ORDER[0]

    def contents(self) -> ComposeResult:
        """Lay out three columns of groups and the lines that say what they cost."""
        yield Lines(id="title")
        with Horizontal(id="choices"):
            yield PlanSummary(id="summary")
            for place, column in enumerate(COLUMNS):
                with Vertical(id=f"column{place}"):
                    for name in column:
                        title = f"{ORDER.index(name) + 1} {LABELS[name]}"
                        if name == "sizes":
                            yield Numbers(title, (), id=name)
                        else:
                            yield Picks(title, id=name, single=name in SINGLE)
        with Horizontal(id="bottom"):
            yield Lines(id="cost")
            yield Button("Start the sweep", id="start_button", variant="primary", compact=True)

    def on_mount(self) -> None:
        """Show the cost and let the engine warm up while the user picks."""
        self.offer_all()
        self.choose("models")
        self.prepare()

    def offer_all(self) -> None:
        """Show what there is to choose from, with the choice that the plan holds."""
        offer, plan = self.offer, self.offer.plan
        ticked = {
            "presets": (choices.presets(offer, has_last=self.last is not None), ()),
            "models": (choices.models(offer), plan.models),
            "method": (choices.methods(), (plan.method,)),
            "bits": (choices.bits(offer), plan.bits),
            "id_set": (choices.sets(offer, "id"), (plan.id_set,)),
            "calibration_set": (choices.sets(offer, "train"), (plan.calibration_set,)),
            "ood_sets": (choices.sets(offer, "ood"), plan.ood_sets),
            "scores": (choices.scores(), plan.scores),
        }
        for name, (options, names) in ticked.items():
            self.picks(name).offer(options, names)
        self.picks("scores").starred = plan.headline
        self.query_one(Numbers).offer(choices.sizes(plan, offer.resources))
        self.draw()

    def picks(self, name: str) -> Picks:
        """Return the list of a group."""
        return self.query_one(f"#{name}", Picks)

    # What is chosen

    def picked_plan(self) -> Plan:
        """Return the plan as picked, whether or not it can be swept."""
        plan, ticked = self.offer.plan, {name: self.picks(name).chosen for name in ORDER if name != "sizes"}
        headline = self.picks("scores").starred
        scores = ticked["scores"]
        learnt_from = {}
        if ticked["calibration_set"] and ticked["calibration_set"][0] != plan.calibration_set:
            (name,) = ticked["calibration_set"]
            learnt_from = {"calibration_set": name, "fit_set": name}
        method = "".join(ticked["method"])
        plan = msgspec.structs.replace(
            plan,
            models=ticked["models"],
            bits=ticked["bits"],
            method=method,
            method_parameters=plan.method_parameters if method == plan.method else msgspec.UNSET,
            id_set="".join(ticked["id_set"]) or plan.id_set,
            ood_sets=ticked["ood_sets"],
            scores=scores,
            headline=headline if headline in scores else (scores[0] if scores else headline),
            score_parameters={k: v for k, v in plan.score_parameters.items() if k in scores},
            **learnt_from,
        )
        return choices.with_sizes(plan, self.query_one(Numbers).values())

    @on(Picks.Changed)
    @on(Picks.Moved)
    @on(Numbers.Changed)
    @on(Numbers.Moved)
    def changed(self) -> None:
        """Say what the choice costs now."""
        self.draw()

    @on(Picks.Changed, "#presets")
    def take_preset(self, event: Picks.Changed) -> None:
        """Choose everything as a preset does."""
        (name,) = event.chosen
        plan, resources = self.offer.plan, self.resources
        try:
            if name == LAST and self.last is not None:
                plan, resources = self.last[0], merge(self.last[1], resources)
            else:
                plan = request.with_checkpoints(preset(name), resources)
            if not catalog.is_made(plan.id_set):
                found = self.offer.found
                plan, resources, missing = request.settle(plan, resources, may_miss=True, found=found)
                if missing:
                    words = f"not below {clean(resources.data)}: {', '.join(missing)}"
                    self.notify(words, severity="warning", markup=False)
        except QoodError as error:
            self.refuse(error)
            return
        self.take(plan, resources)

    def action_headline(self) -> None:
        """Make the score under the cursor the headline score."""
        picks = self.picks("scores")
        if self.group != "scores" or picks.current is None:
            self.notify("Go to the scores first, then h makes the one under the cursor the headline score.")
            return
        picks.tick(picks.current.name, on=True)
        picks.starred = picks.current.name
        picks.draw()
        self.draw()

    def action_all(self) -> None:
        """Choose everything in the group."""
        self._tick_all(on=True)

    def action_none(self) -> None:
        """Choose nothing in the group."""
        self._tick_all(on=False)

    def _tick_all(self, *, on: bool) -> None:
        if isinstance(self.focused, Picks):
            self.focused.tick_all(on=on)

    # What is in sight

    def choose(self, group: str) -> None:
        """Bring a group into sight and into focus."""
        self.group = group
        self.lay_out()
        self.query_one(f"#{group}").focus()

    def action_group(self, number: int) -> None:
        """Choose a group by its digit."""
        self.choose(ORDER[number - 1])

    def action_next_group(self, steps: int = 1) -> None:
        """Go to another group."""
        self.choose(ORDER[(ORDER.index(self.group) + steps) % len(ORDER)])

    def lay_out(self) -> None:
        """Show all groups, or in a narrow terminal the chosen one beside a summary."""
        if not self.query(Numbers):
            return
        is_narrow = self.app.size.width < NARROW
        self.query_one("#summary").display = is_narrow
        for place, column in enumerate(COLUMNS):
            self.query_one(f"#column{place}").display = not is_narrow or self.group in column
            for name in column:
                self.query_one(f"#{name}").display = not is_narrow or name == self.group
        self.draw()

    @on(events.Resize)
    def refit(self) -> None:
        """Show the groups that there is room for."""
        self.lay_out()

    @on(events.DescendantFocus)
    def focused_group(self, event: events.DescendantFocus) -> None:
        """Make the group that has the focus the chosen one."""
        if event.widget.id in ORDER and event.widget.id != self.group:
            self.group = event.widget.id
            self.draw()

    @on(Lines.Resized)
    def fit(self) -> None:
        """Draw for the new size."""
        self.draw()

    def draw(self) -> None:
        """Show title, summary and cost."""
        if not self.is_mounted:
            return
        self.draw_frame()
        note = catalog.note_of(self.offer.plan.id_set)
        told = f"below {clean(self.resources.data)}" if self.resources.data else note
        title = Text.assemble(
            (" qood-tui ", "bold reverse"), "  what does quantization cost OOD detection?  ", (told, "dim")
        )
        line = self.query_one("#title", Lines)
        line.show([fitted(title, line.inner.width or 1)])
        self._draw_cost()
        self._mark_preset()
        self.query_one(PlanSummary).draw(self._summary())

    def _draw_cost(self) -> None:
        """Say what the choice costs, or why it cannot be."""
        widget = self.query_one("#cost", Lines)
        width = max(widget.inner.width, 1)
        try:
            plan = self.chosen_plan()
        except InputError as error:
            first, *rest = wrapped(Text(f"✗ {error}", style="bold"), width)
            widget.show(
                [
                    first,
                    *(
                        [fitted(Text(" ".join(line.plain for line in rest), style="bold"), width)]
                        if rest
                        else []
                    ),
                ]
            )
            return
        self.query_one(Numbers).offer_notes(choices.sizes(plan, self.resources))
        cost = estimate(plan, self.used(plan), self.pace)
        line = Text(f"{cost.variants} variants × {cost.images:,} images", style="bold")
        line.append(f", about {roughly(cost.seconds)}, {in_bytes(cost.memory)} of memory", "not bold")
        line.append(f", {in_bytes(cost.disk)} of disk", "not bold")
        if cost.kept:
            line.append(f" ({in_bytes(cost.kept)} of outputs)", "not bold")
        is_measured = self.pace is not None and self.pace.is_measured
        line.append(", as measured here" if is_measured else ", a guess until one ran here", "not bold dim")
        widget.show([fitted(line, width), fitted(Text(self._hint(), style="dim"), width)])

    def _mark_preset(self) -> None:
        """Tick the preset that the choice is, if it is one."""
        picks, plan = self.picks("presets"), self.picked_plan()
        known = {LAST: self.last[0] if self.last else None}
        known |= {name: self._as_here(preset(name), plan) for name in catalog.PRESETS}
        ticked = [name for name, made in known.items() if made == plan][-1:]
        if ticked != picks.ticked:
            picks.offer(picks.options, ticked)

    def _as_here(self, made: Plan, plan: Plan) -> Plan:
        """Return a preset with the sets that are here, where it leaves open what they are."""
        if catalog.is_made(made.id_set):
            return made
        there = [name for name in made.ood_sets if name in self.resources.counts]
        return msgspec.structs.replace(
            request.with_checkpoints(made, self.resources),
            ood_sets=(*there, *self.resources.ood),
            calibration_set=plan.calibration_set,
            fit_set=plan.fit_set,
        )

    def _hint(self) -> str:
        """Say all of the option under the cursor, which its list may have cut."""
        if self.group == "sizes":
            field = self.query_one(Numbers).current
            return f"{field.label}: {field.note}"
        option = self.picks(self.group).current
        return ": ".join(filter(None, (option.label, option.why_not or option.note))) if option else ""

    def _summary(self) -> list[StripPart]:
        """Return a line a group with what is chosen in it."""
        parts = []
        for place, name in enumerate(ORDER, 1):
            words = "numbers" if name == "sizes" else ""
            if name != "sizes":
                picks = self.picks(name)
                chosen = [o.label for o in picks.options if o.name in picks.chosen]
                words = chosen[0] if len(chosen) == 1 else f"{len(chosen)} of {picks.count}"
                words = "-" if not chosen else words
            label = f"{LABELS[name].split(',')[0].split(' ×')[0]}: {words}"
            parts.append(
                StripPart(str(place), label, f"group({place})", "reverse" if name == self.group else "")
            )
        return parts

    def action_search(self) -> None:
        """Search all groups."""
        hits = [
            Hit(name, option, option.name in self.picks(name).ticked)
            for name in ORDER
            if name not in ("sizes", "presets")
            for option in self.picks(name).options
        ]
        self.app.push_screen(SearchScreen(hits, {name: LABELS[name] for name in ORDER}), self._take_hits)

    def _take_hits(self, changed: list[Hit] | None) -> None:
        for hit in changed or ():
            self.picks(hit.group).tick(hit.option.name, on=hit.is_ticked)
        if changed:
            self.choose(changed[-1].group)

    @on(Button.Pressed, "#start_button")
    def start_pressed(self) -> None:
        """Start from the button as from the key."""
        self.action_start()
