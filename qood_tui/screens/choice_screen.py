"""A screen of choices: a plan is put together from groups of options, and its cost is shown."""

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
from engine.errors import InputError
from engine.plan.plan import Plan, preset
from engine.plan.resources import Resources, merge
from engine.plan.validation import validated
from engine.service import request
from engine.text import clean, counted, in_bytes
from qood_tui.screens.base import BaseScreen
from qood_tui.screens.dialogs.search import Hit, SearchScreen
from qood_tui.setup import choices, last_choice
from qood_tui.setup.choices import COLUMNS, GROUPS, KEYS, LABELS, LAST, ORDER, SIZES, Offer
from qood_tui.setup.cost import Pace, estimate
from qood_tui.terminal_size import MEDIUM
from qood_tui.widgets.lines import Lines
from qood_tui.widgets.numbers import Numbers
from qood_tui.widgets.picks import Picks
from qood_tui.widgets.strips import StripPart
from qood_tui.widgets.summary import PlanSummary
from qood_tui.words import fitted, roughly, wrapped


class ChoiceScreen(BaseScreen[None]):
    """Choose models, bits, method, sets, scores and sizes from an offer."""

    CSS_PATH = "../styles/setup.tcss"
    AUTO_FOCUS = ""
    BINDINGS = [
        Binding("tab", "next_group", show=False),
        Binding("shift+tab", "next_group(-1)", show=False),
        *(Binding(key, f"group({group!r})", show=False) for group, key in KEYS.items()),
    ]

    def __init__(self, plan: Plan | None, resources: Resources, *, root: Path | None = None) -> None:
        super().__init__()
        self.root = root
        self.last = last_choice.recall(is_real=plan is not None and not catalog.is_made(plan.id_set))
        initial = plan or preset("demo")
        if plan is None and self.last is not None:
            initial, resources = self.last[0], merge(self.last[1], resources)
        self.offer = Offer(initial, resources, {})
        self.pace: Pace | None = None
        self.group = ORDER[0]

    def contents(self) -> ComposeResult:
        """Lay out columns of groups, and the cost below them."""
        yield Lines(id="title")
        with Horizontal(id="choices"):
            yield PlanSummary(id="summary")
            for place, column in enumerate(COLUMNS):
                with Vertical(id=f"column{place}"):
                    for name in column:
                        key = KEYS.get(name, "")
                        if name == SIZES:
                            yield Numbers(f"{key} {LABELS[name]}".lstrip(), (), id=name)
                        else:
                            group = GROUPS[name]
                            title = f"{key} {group.title or group.label}".lstrip()
                            yield Picks(title, id=name, single=group.single)
        with Horizontal(id="bottom"):
            yield Lines(id="cost")
            yield Button("Start the sweep", id="start_button", variant="primary", compact=True)

    # What is chosen

    @property
    def resources(self) -> Resources:
        """Return what this machine brings, including what was added on this screen."""
        return self.offer.resources

    def picks(self, name: str) -> Picks:
        """Return the list of a group."""
        return self.query_one(f"#{name}", Picks)

    def offer_all(self) -> None:
        """Show all options, with those of the plan selected."""
        offer = self.offer._replace(has_last=self.last is not None)
        for name, group in GROUPS.items():
            self.picks(name).offer(group.options(offer), group.chosen(offer.plan))
        self.picks("scores").starred = offer.plan.headline
        self.query_one(Numbers).offer(choices.sizes(offer.plan, offer.resources))
        self.draw()

    def take(self, plan: Plan, resources: Resources) -> None:
        """Offer everything again with another plan selected."""
        self.offer = self.offer._replace(plan=plan, resources=resources)
        self.offer_all()

    def keep_choices(self) -> None:
        """Make the choices the plan of the offer, even if it cannot be swept like that."""
        self.offer = self.offer._replace(plan=self.picked_plan())

    def picked_plan(self) -> Plan:
        """Return the plan as chosen, whether or not it can be swept."""
        chosen = {name: self.picks(name).chosen for name in GROUPS}
        plan = choices.with_choices(self.offer.plan, chosen, self.picks("scores").starred)
        return choices.with_sizes(plan, self.query_one(Numbers).values())

    def valid_plan(self) -> Plan:
        """Return the plan as chosen; raise InputError if it cannot be swept."""
        plan = self.picked_plan()
        return validated(plan, self.used(plan))

    def used(self, plan: Plan) -> Resources:
        """Return the resources with the paths of the plan's sets that were found in the data folder."""
        resources, found = self.resources, self.offer.found
        own = {
            name: str(found[name].root)
            for name in plan.ood_sets
            if name in found and name not in catalog.SETS and name not in resources.ood
        }
        return msgspec.structs.replace(resources, ood={**resources.ood, **own})

    @on(Picks.Changed)
    @on(Picks.Moved)
    @on(Numbers.Changed)
    @on(Numbers.Moved)
    def changed(self) -> None:
        """Show the new cost."""
        self.draw()

    def action_headline(self) -> None:
        """Make the score under the cursor the headline score."""
        picks = self.picks("scores")
        if self.group != "scores" or picks.current is None:
            self.notify("Go to the scores first; h makes the one under the cursor the headline score.")
            return
        picks.tick(picks.current.name, on=True)
        picks.starred = picks.current.name
        picks.draw()
        self.draw()

    def action_all(self) -> None:
        """Select everything in the group."""
        if isinstance(self.focused, Picks):
            self.focused.tick_all(on=True)

    def action_none(self) -> None:
        """Clear the selection in the group."""
        if isinstance(self.focused, Picks):
            self.focused.tick_all(on=False)

    def action_search(self) -> None:
        """Search all groups."""
        hits = [
            Hit(name, option, option.name in self.picks(name).ticked)
            for name in ORDER
            if name not in (SIZES, "presets")
            for option in self.picks(name).options
        ]
        self.app.push_screen(SearchScreen(hits, LABELS), self._take_hits)

    def _take_hits(self, changed: list[Hit] | None) -> None:
        for hit in changed or ():
            self.picks(hit.group).tick(hit.option.name, on=hit.is_ticked)
        if changed:
            self.focus_group(changed[-1].group)

    # Which group is current

    def focus_group(self, group: str) -> None:
        """Show and focus a group."""
        self.group = group
        self.lay_out()
        self.query_one(f"#{group}").focus()

    def action_group(self, name: str) -> None:
        """Go to a group by its digit key."""
        self.focus_group(name)

    def action_next_group(self, steps: int = 1) -> None:
        """Go to another group."""
        self.focus_group(ORDER[(ORDER.index(self.group) + steps) % len(ORDER)])

    @on(events.Resize)
    def lay_out(self) -> None:
        """Show all groups, or in a narrow terminal the current one beside a summary."""
        if not self.query(Numbers):
            return
        is_narrow = self.app.size.width < MEDIUM
        self.query_one("#summary").display = is_narrow
        for place, column in enumerate(COLUMNS):
            self.query_one(f"#column{place}").display = not is_narrow or self.group in column
            for name in column:
                self.query_one(f"#{name}").display = not is_narrow or name == self.group
        self.draw()

    @on(events.DescendantFocus)
    def follow_focus(self, event: events.DescendantFocus) -> None:
        """Make the focused group the current one."""
        if event.widget.id in ORDER and event.widget.id != self.group:
            self.group = event.widget.id
            self.draw()

    # What is drawn

    @on(Lines.Resized)
    def fit(self) -> None:
        """Draw for the new size."""
        self.draw()

    def draw(self) -> None:
        """Draw title, summary and cost."""
        if not self.is_mounted:
            return
        self.draw_frame()
        data = self.resources.data
        source = f"images in {clean(data)}" if data else catalog.note_of(self.offer.plan.id_set)
        question = "  what does quantization cost OOD detection?  "
        title = Text.assemble((" qood-tui ", "bold reverse"), question, (source, "dim"))
        line = self.query_one("#title", Lines)
        line.show([fitted(title, line.inner.width or 1)])
        self._draw_cost()
        self._mark_preset()
        self.query_one(PlanSummary).draw(self._summary())

    def _draw_cost(self) -> None:
        """Show what the plan costs, or why it cannot be swept."""
        widget = self.query_one("#cost", Lines)
        width = max(widget.inner.width, 1)
        try:
            plan = self.valid_plan()
        except InputError as error:
            first, *rest = wrapped(Text(f"✗ {error}", style="bold"), width)
            more = Text(" ".join(line.plain for line in rest), style="bold")
            widget.show([first, fitted(more, width)] if rest else [first])
            return
        self.query_one(Numbers).offer_notes(choices.sizes(plan, self.resources))
        cost = estimate(plan, self.used(plan), self.pace)
        line = Text(f"{counted(cost.variants, 'variant')} × {counted(cost.images, 'image')}", style="bold")
        line.append(f", about {roughly(cost.seconds)}, {in_bytes(cost.memory)} of memory", "not bold")
        line.append(f", {in_bytes(cost.disk)} on disk", "not bold")
        if cost.kept:
            line.append(f" ({in_bytes(cost.kept)} outputs)", "not bold")
        is_measured = self.pace is not None and self.pace.is_measured
        line.append(", from earlier sweeps" if is_measured else ", a first guess", "not bold dim")
        widget.show([fitted(line, width), fitted(Text(self._hint(), style="dim"), width)])

    def _mark_preset(self) -> None:
        """Select the preset that equals the choices, if there is one."""
        picks, plan = self.picks("presets"), self.picked_plan()
        plans = {LAST: self.last[0] if self.last else None}
        plans |= {name: self._as_here(preset(name), plan) for name in catalog.PRESETS}
        ticked = [name for name, one in plans.items() if one == plan][-1:]
        if ticked != picks.ticked:
            picks.offer(picks.options, ticked)

    def _as_here(self, made: Plan, plan: Plan) -> Plan:
        """Return a preset with this machine's sets, if it leaves them open."""
        if catalog.is_made(made.id_set):
            return made
        available = [name for name in made.ood_sets if name in self.resources.counts]
        return msgspec.structs.replace(
            request.with_checkpoints(made, self.resources),
            ood_sets=(*available, *self.resources.ood),
            calibration_set=plan.calibration_set,
            fit_set=plan.fit_set,
        )

    def _hint(self) -> str:
        """Return the option under the cursor in full, as its list may have cut it."""
        if self.group == SIZES:
            field = self.query_one(Numbers).current
            return f"{field.label}: {field.note}"
        option = self.picks(self.group).current
        return ": ".join(filter(None, (option.label, option.why_not or option.note))) if option else ""

    def _summary(self) -> list[StripPart]:
        """Return one line per group with what is chosen in it."""
        parts = []
        for name in ORDER:
            chosen = "numbers"
            if name != SIZES:
                picks = self.picks(name)
                labels = [o.label for o in picks.options if o.name in picks.chosen]
                chosen = labels[0] if len(labels) == 1 else f"{len(labels)} of {picks.count}"
                chosen = chosen if labels else "-"
            style = "reverse" if name == self.group else ""
            parts.append(
                StripPart(KEYS.get(name, ""), f"{LABELS[name]}: {chosen}", f"group({name!r})", style)
            )
        return parts
