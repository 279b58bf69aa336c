"""What can be done with a plan that is being made: open it, save it, bring more to it, start it."""

from __future__ import annotations

from pathlib import Path

import msgspec
from textual import work
from textual.message import Message

from engine import catalog
from engine.datasets.discover import discover, ood_set
from engine.datasets.disk_set import DiskSet
from engine.errors import InputError, QoodError, unknown_name
from engine.plan.plan import Plan, preset
from engine.plan.resources import Resources, merge, parse_checkpoints, parse_named
from engine.plan.toml import read_toml
from engine.plan.validation import validated
from engine.protocol.messages import Status
from engine.service import client, request
from engine.session import store
from engine.system import environment
from qood_tui.screens.base import BaseScreen
from qood_tui.screens.dialogs.prompt import Prompt
from qood_tui.screens.sessions import SessionsScreen
from qood_tui.setup import last_choice
from qood_tui.setup.choices import Offer
from qood_tui.setup.cost import Pace, measured_pace

STUDY = "kuang-wong-2026"


class SetupActions(BaseScreen[None]):
    """A screen on which a plan is made of an offer."""

    class Opened(Message):
        """A session is to be shown; `live` is None where its journal must tell."""

        def __init__(self, session: Path, *, live: bool | None = None) -> None:
            super().__init__()
            self.session, self.live = session, live

    def __init__(self, plan: Plan | None, resources: Resources, *, root: Path | None = None) -> None:
        super().__init__()
        self.root = root
        self.last = last_choice.recall(is_real=plan is not None and not catalog.is_made(plan.id_set))
        begun = plan or preset("demo")
        if plan is None and self.last is not None:
            begun, resources = self.last[0], merge(self.last[1], resources)
        self.offer = Offer(begun, resources, {})
        self.pace: Pace | None = None
        self._starting = False

    @property
    def resources(self) -> Resources:
        """Return what the machine brings, as added to on this screen."""
        return self.offer.resources

    def picked_plan(self) -> Plan:
        """Return the plan as picked, whether or not it can be swept."""
        raise NotImplementedError

    def chosen_plan(self) -> Plan:
        """Return the plan as picked; raise InputError where it cannot be."""
        plan = self.picked_plan()
        return validated(plan, self.used(plan))

    def offer_all(self) -> None:
        """Show what there is to choose from, with the choice that the plan holds."""
        raise NotImplementedError

    def take(self, plan: Plan, resources: Resources) -> None:
        """Offer everything anew, with another plan chosen."""
        self.offer = self.offer._replace(plan=plan, resources=resources)
        self.offer_all()

    def refuse(self, error: QoodError) -> None:
        """Say what is wrong with what was given."""
        self.notify(str(error), severity="error", timeout=10, markup=False)

    @work(thread=True, group="prepare")
    def prepare(self) -> None:
        """Start the engine ahead of need, learn its pace and see which sets there are."""
        self.pace = measured_pace(self.offer.is_real)
        try:
            if self.resources.data and not self.offer.found:
                self.app.call_from_thread(self._add_found, discover(Path(self.resources.data)))
            self.app.call_from_thread(self.draw_frame)
            client.warm()
            reply = client.call(Status())
            if reply is not None and reply.running:
                told = f"A sweep is running: {Path(reply.running).name}; l lists it."
                self.app.call_from_thread(self.notify, told, markup=False)
        except QoodError as error:
            self.app.call_from_thread(self.refuse, error)

    def _add_found(self, found: dict[str, DiskSet]) -> None:
        self._keep()
        self.offer = self.offer._replace(found=found)
        self.offer_all()

    def _keep(self) -> None:
        """Make what is picked the plan of the offer, even if it cannot be swept like that."""
        self.offer = self.offer._replace(plan=self.picked_plan())

    def used(self, plan: Plan) -> Resources:
        """Return the resources with the paths of the sets that were found below the root."""
        given = self.resources
        own = {
            name: str(self.offer.found[name].root)
            for name in plan.ood_sets
            if name in self.offer.found and name not in catalog.SETS and name not in given.ood
        }
        return msgspec.structs.replace(given, ood={**given.ood, **own})

    # What is done with it

    def action_start(self) -> None:
        """Start the sweep and show it."""
        if self._starting:
            return
        try:
            plan = self.chosen_plan()
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
        """Hand the session to the engine without holding up the screen."""
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

    def action_save_plan(self) -> None:
        """Ask for a file and save the plan."""
        try:
            plan = self.chosen_plan()
        except InputError as error:
            self.refuse(error)
            return
        self._ask_where_to_save(plan, "plan.toml")

    def _ask_where_to_save(self, plan: Plan, name: str) -> None:
        words = "Save this plan; qood-tui run FILE sweeps it, o opens it again."
        prompt = Prompt("Save the plan", words, value=name)
        self.app.push_screen(prompt, lambda given: self._save(plan, given))

    def _save(self, plan: Plan, given: str | None) -> None:
        if given:
            try:
                path = last_choice.save(plan, self.used(plan), given)
            except InputError as error:
                self.refuse(error)
                self._ask_where_to_save(plan, given)
            else:
                self.notify(f"Saved {path}", markup=False)

    def action_open_plan(self) -> None:
        """Ask for a file and open the plan in it."""
        words = "A plan as TOML, such as one saved here."
        self.app.push_screen(Prompt("Open a plan", words, placeholder="plan.toml"), self._open)

    def _open(self, given: str | None) -> None:
        if not given:
            return
        try:
            plan, own = read_toml(Path(given).expanduser())
            plan, resources, _ = request.settle(plan, merge(own, self.resources), found=self.offer.found)
        except QoodError as error:
            self.refuse(error)
            return
        except RuntimeError:  # a home that is nobody's
            self.refuse(InputError("plan", given, "there is no such file"))
            return
        self.take(plan, resources)
        self.notify(f"Opened {given}", markup=False)

    def action_data(self) -> None:
        """Ask for the folder that holds image sets."""
        words = "The folder that holds ImageNet and OOD sets, in whatever layout they came."
        self.app.push_screen(Prompt("Image sets", words, value=self.resources.data), self._look_at)

    def _look_at(self, given: str | None) -> None:
        if given:
            self.notify(f"Looking below {given} …", markup=False, timeout=3)
            self.discover(given)

    @work(thread=True, group="discover", exclusive=True)
    def discover(self, given: str) -> None:
        """Find image sets below a folder and offer the study on them."""
        try:
            root = Path(given).expanduser().resolve()
            found = discover(root)
            if not any(one.role == "id" for one in found.values()) and not self.resources.id:
                seen = f"; there is {', '.join(found)}" if found else ""
                raise InputError("data", given, f"no set of ImageNet's validation images is below it{seen}")
            resources = msgspec.structs.replace(self.resources, data=str(root))
            plan = request.with_checkpoints(preset(STUDY), resources)
            plan, resources, missing = request.settle(plan, resources, may_miss=True, found=found)
        except (OSError, RuntimeError, ValueError) as error:
            unreadable = InputError("data", given, f"it cannot be read ({error})")
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
        told = f"; not there: {', '.join(missing)}" if missing else ""
        self.notify(f"{len(found)} image sets below {resources.data}{told}", markup=False)

    def action_add_folder(self) -> None:
        """Ask for a folder of images."""
        words = "A folder of images as one more OOD set, with a name for it."
        self.app.push_screen(Prompt("OOD set", words, placeholder="NAME=FOLDER"), self._add_folder)

    def _add_folder(self, given: str | None) -> None:
        if not given:
            return
        try:
            named = parse_named("ood", (given,))
            name, folder = next(iter(named.items()))
            if name in self.resources.ood or name in self.offer.found:
                raise InputError("ood", name, "this name is taken already, choose another")
            ood_set(name, folder)
        except InputError as error:
            self.refuse(error)
            return
        self._keep()
        plan = msgspec.structs.replace(self.offer.plan, ood_sets=(*self.offer.plan.ood_sets, name))
        self.take(plan, msgspec.structs.replace(self.resources, ood={**self.resources.ood, **named}))

    def action_add_model(self) -> None:
        """Ask for a checkpoint or a name of timm's."""
        words = "A checkpoint of your own as NAME=MODEL:FILE, or the name of any plain ViT or DeiT of timm."
        self.app.push_screen(Prompt("Model", words, placeholder="vit_base_patch16_224"), self._add_model)

    def _add_model(self, given: str | None) -> None:
        if not given:
            return
        checkpoints, name = self.resources.checkpoints, given
        try:
            if not self.offer.is_real:
                raise InputError(
                    "model", given, "models of your own take photographs: d points at their folder"
                )
            if "=" in given:
                checkpoints = {**checkpoints, **parse_checkpoints((given,))}
                name = given.partition("=")[0]
            elif not catalog.is_timm_name(given):
                raise unknown_name("model", given, catalog.MODELS)
        except InputError as error:
            self.refuse(error)
            return
        self._keep()
        models = tuple(dict.fromkeys((*self.offer.plan.models, name)))
        plan = msgspec.structs.replace(self.offer.plan, models=models)
        self.take(plan, msgspec.structs.replace(self.resources, checkpoints=checkpoints))
