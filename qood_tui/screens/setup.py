"""The set-up screen: choose what to sweep, open and save plans, add sets and models, and start."""

from __future__ import annotations

from pathlib import Path

import msgspec
from textual import on, work
from textual.message import Message
from textual.widgets import Button

from engine import catalog
from engine.datasets.discover import discover, ood_set
from engine.datasets.disk_set import DiskSet
from engine.errors import InputError, QoodError, unknown_name
from engine.plan.plan import Plan, preset
from engine.plan.resources import Resources, merge, parse_checkpoints, parse_named
from engine.plan.toml import read_toml
from engine.protocol.messages import Status
from engine.service import client, request
from engine.session import store
from engine.system import environment
from engine.text import clean, counted
from qood_tui.screens.choice_screen import ChoiceScreen
from qood_tui.screens.dialogs.prompt import Prompt
from qood_tui.screens.sessions import SessionsScreen
from qood_tui.settings.bindings import bindings
from qood_tui.setup import last_choice
from qood_tui.setup.choices import LAST, Offer
from qood_tui.setup.cost import measured_pace
from qood_tui.widgets.picks import Picks

STUDY = "kuang-wong-2026"


class SetupScreen(ChoiceScreen):
    """Choose a plan, then start it."""

    GROUPS = ("Set-up",)
    BINDINGS = bindings("Set-up")

    class Opened(Message):
        """A session is to be shown; `live` is None if its journal decides."""

        def __init__(self, session: Path, *, live: bool | None = None) -> None:
            super().__init__()
            self.session, self.live = session, live

    def __init__(self, plan: Plan | None, resources: Resources, *, root: Path | None = None) -> None:
        super().__init__(plan, resources, root=root)
        self._starting = False

    def on_mount(self) -> None:
        """Show everything, and let the engine warm up in the meantime."""
        self.offer_all()
        self.focus_group("models")
        self.prepare()

    def refuse(self, error: QoodError) -> None:
        """Show what is wrong with an input."""
        self.notify(str(error), severity="error", timeout=10, markup=False)

    @work(thread=True, group="prepare")
    def prepare(self) -> None:
        """Start the engine ahead of time, estimate its pace and find image sets."""
        self.pace = measured_pace(self.offer.is_real)
        try:
            if self.resources.data and not self.offer.found:
                self.app.call_from_thread(self._add_found, discover(Path(self.resources.data)))
            self.app.call_from_thread(self.draw_frame)
            client.warm()
            reply = client.call(Status())
            if reply is not None and reply.running:
                message = f"A sweep is running: {Path(reply.running).name}. Press l to list it."
                self.app.call_from_thread(self.notify, message, markup=False)
        except QoodError as error:
            self.app.call_from_thread(self.refuse, error)

    def _add_found(self, found: dict[str, DiskSet]) -> None:
        self.keep_choices()
        self.offer = self.offer._replace(found=found)
        self.offer_all()

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
                    message = f"Not in {clean(resources.data)}: {', '.join(missing)}"
                    self.notify(message, severity="warning", markup=False)
        except QoodError as error:
            self.refuse(error)
            return
        self.take(plan, resources)

    # Starting

    @on(Button.Pressed, "#start_button")
    def start_pressed(self) -> None:
        """Start from the button."""
        self.action_start()

    def action_start(self) -> None:
        """Start the sweep and show it."""
        if self._starting:
            return
        try:
            plan = self.valid_plan()
            environment.check_exact(tf32=plan.tf32)
            used = self.used(plan)
            ood = {name: path for name, path in used.ood.items() if name in plan.ood_sets}
            resources = msgspec.structs.replace(used, ood=ood)
            session = store.create(plan, resources.names(), self.root)
        except InputError as error:
            self.refuse(error)
            return
        last_choice.remember(plan, resources)
        self._starting = True
        self.launch(session, resources)

    @work(thread=True, group="launch")
    def launch(self, session: Path, resources: Resources) -> None:
        """Hand the session to the engine without blocking the screen."""
        try:
            client.start(session, resources)
        except QoodError as error:
            self.app.call_from_thread(self.refuse, error)
        else:
            self.post_message(self.Opened(session, live=True))
        self._starting = False

    def action_sessions(self) -> None:
        """List recorded sessions."""
        self.app.push_screen(SessionsScreen())

    # Plans

    def action_save_plan(self) -> None:
        """Ask for a file and save the plan."""
        try:
            plan = self.valid_plan()
        except InputError as error:
            self.refuse(error)
            return
        self._ask_where_to_save(plan, "plan.toml")

    def _ask_where_to_save(self, plan: Plan, name: str) -> None:
        text = "File for this plan. Sweep it with 'qood-tui run FILE', or open it here with o."
        prompt = Prompt("Save the plan", text, value=name)
        self.app.push_screen(prompt, lambda file: self._save(plan, file))

    def _save(self, plan: Plan, file: str | None) -> None:
        if file:
            try:
                path = last_choice.save(plan, self.used(plan), file)
            except InputError as error:
                self.refuse(error)
                self._ask_where_to_save(plan, file)
            else:
                self.notify(f"Saved {path}", markup=False)

    def action_open_plan(self) -> None:
        """Ask for a file and open the plan in it."""
        text = "A plan as a TOML file, such as one saved here."
        self.app.push_screen(Prompt("Open a plan", text, placeholder="plan.toml"), self._open)

    def _open(self, file: str | None) -> None:
        if not file:
            return
        try:
            plan, own = read_toml(Path(file).expanduser())
            plan, resources, _ = request.settle(plan, merge(own, self.resources), found=self.offer.found)
        except QoodError as error:
            self.refuse(error)
            return
        except RuntimeError:  # ~nobody
            self.refuse(InputError("plan", file, "there is no such file"))
            return
        self.take(plan, resources)
        self.notify(f"Opened {file}", markup=False)

    # Image sets and models

    def action_data(self) -> None:
        """Ask for the data folder."""
        text = "The folder that holds ImageNet and the OOD sets, in any layout they are published in."
        self.app.push_screen(Prompt("Image sets", text, value=self.resources.data), self._search_folder)

    def _search_folder(self, folder: str | None) -> None:
        if folder:
            self.notify(f"Searching {folder} …", markup=False, timeout=3)
            self.discover(folder)

    @work(thread=True, group="discover", exclusive=True)
    def discover(self, folder: str) -> None:
        """Find image sets in a folder and offer the study on them."""
        try:
            root = Path(folder).expanduser().resolve()
            found = discover(root)
            if not any(one.role == "id" for one in found.values()) and not self.resources.id:
                others = f"; it holds {', '.join(found)}" if found else ""
                raise InputError("data", folder, f"it holds no ImageNet validation set{others}")
            resources = msgspec.structs.replace(self.resources, data=str(root))
            plan = request.with_checkpoints(preset(STUDY), resources)
            plan, resources, missing = request.settle(plan, resources, may_miss=True, found=found)
        except (OSError, RuntimeError, ValueError) as error:
            unreadable = InputError("data", folder, f"it cannot be read ({error})")
            self.app.call_from_thread(self.refuse, unreadable)
        except QoodError as error:
            self.app.call_from_thread(self.refuse, error)
        else:
            self.app.call_from_thread(self._take_found, found, plan, resources, missing)

    def _take_found(
        self, found: dict[str, DiskSet], plan: Plan, resources: Resources, missing: tuple[str, ...]
    ) -> None:
        self.offer = Offer(plan, resources, found)
        self.last = last_choice.recall(is_real=True)
        self.offer_all()
        self.prepare()
        absent = f"; missing: {', '.join(missing)}" if missing else ""
        sets = counted(len(found), "image set")
        self.notify(f"{sets} in {resources.data}{absent}", markup=False)

    def action_add_folder(self) -> None:
        """Ask for a folder of images."""
        text = "A folder of images to add as an OOD set, with a name for it."
        self.app.push_screen(Prompt("OOD set", text, placeholder="NAME=FOLDER"), self._add_folder)

    def _add_folder(self, text: str | None) -> None:
        if not text:
            return
        try:
            named = parse_named("ood", (text,))
            name, folder = next(iter(named.items()))
            if name in self.resources.ood or name in self.offer.found:
                raise InputError("ood", name, "this name is taken; choose another")
            ood_set(name, folder)
        except InputError as error:
            self.refuse(error)
            return
        self.keep_choices()
        plan = msgspec.structs.replace(self.offer.plan, ood_sets=(*self.offer.plan.ood_sets, name))
        self.take(plan, msgspec.structs.replace(self.resources, ood={**self.resources.ood, **named}))

    def action_add_model(self) -> None:
        """Ask for a checkpoint or a timm name."""
        text = "Your own checkpoint as NAME=MODEL:FILE, or the name of any plain ViT or DeiT in timm."
        self.app.push_screen(Prompt("Model", text, placeholder="vit_base_patch16_224"), self._add_model)

    def _add_model(self, text: str | None) -> None:
        if not text:
            return
        checkpoints, name = self.resources.checkpoints, text
        try:
            if not self.offer.is_real:
                right = "your own models need photographs: press d to choose their folder"
                raise InputError("model", text, right)
            if "=" in text:
                checkpoints = {**checkpoints, **parse_checkpoints((text,))}
                name = text.partition("=")[0]
            elif not catalog.is_timm_name(text):
                raise unknown_name("model", text, catalog.MODELS)
        except InputError as error:
            self.refuse(error)
            return
        self.keep_choices()
        models = tuple(dict.fromkeys((*self.offer.plan.models, name)))
        plan = msgspec.structs.replace(self.offer.plan, models=models)
        self.take(plan, msgspec.structs.replace(self.resources, checkpoints=checkpoints))
