"""Open the terminal application."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.plan.plan import Plan
    from engine.plan.resources import Resources


def open_screen(
    session: Path | None = None,
    *,
    others: tuple[Path, ...] = (),
    speed: float | None = None,
    at: float | None = None,
    resources: Resources | None = None,
    root: Path | None = None,
    ascii_only: bool = False,
    theme: str | None = None,
    plan: Plan | None = None,
) -> None:
    """Open the set-up screen, or the given sessions; raise InputError without a terminal."""
    _check_terminal()
    import msgspec

    from engine.session.session import Session

    for path in (session, *others):
        if path is not None:
            Session.at(path)  # raises QoodError before the screen opens
    from qood_tui.app import QoodApp
    from qood_tui.settings.config import read

    settings = read()
    if theme is not None:
        settings = msgspec.structs.replace(settings, theme=theme)
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    app = QoodApp(
        session,
        others=others,
        speed=speed,
        at=at,
        plan=plan,
        resources=resources,
        root=root,
        ascii_only=ascii_only or encoding != "utf8",
        config=settings,
    )
    app.run()
    if app.return_code:
        raise SystemExit(app.return_code)


def _check_terminal() -> None:
    """Raise InputError if there is no terminal to draw on."""
    # Textual draws to standard error if that is another terminal, and to a browser through pipes.
    in_browser = os.environ.get("TEXTUAL_DRIVER") == "textual.drivers.web_driver:WebDriver"
    if not in_browser and not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        from engine.errors import InputError

        right = "it needs a terminal; without one, use 'qood-tui run' or 'qood-tui replay SESSION --plain'"
        raise InputError("qood-tui", "no terminal", right)


def begun(name: str | None, plan_file: Path | None, resources: Resources) -> tuple[Plan | None, Resources]:
    """Return the initial plan of the set-up screen: the study if there are photographs.

    None if nothing was asked for: the screen then starts with the last choice.
    """
    from engine import catalog
    from engine.plan.plan import preset
    from engine.plan.resources import merge
    from engine.service import request

    if plan_file is not None:
        from engine.errors import InputError
        from engine.plan.toml import read_toml

        if name is not None:
            raise InputError("preset", name, "give --preset or --plan, not both")
        plan, own = read_toml(plan_file)
        plan, resources, _ = request.settle(plan, merge(own, resources))
        return plan, resources
    real = bool(resources.data or resources.id or resources.checkpoints)
    if name is None and not real and not resources.ood:
        return None, resources
    plan = preset(name or ("kuang-wong-2026" if real else "demo"))
    plan = request.with_checkpoints(plan, resources)
    if catalog.is_made(plan.id_set):
        import msgspec

        return msgspec.structs.replace(plan, ood_sets=(*plan.ood_sets, *resources.ood)), resources
    plan, resources, _ = request.settle(plan, resources, may_miss=True)
    return plan, resources
