from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "timm", "sklearn", "scipy", "safetensors")


def loaded_after(code: str) -> set[str]:
    script = f"{code}\nimport sys; print(' '.join({{m.partition('.')[0] for m in sys.modules}}))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_the_terminal_never_imports_torch_and_its_kin() -> None:
    modules = ", ".join(
        (
            *(f"qood_tui.{name}" for name in ("app", "cli.main", "cli.headless", "plot.curve")),
            *(f"qood_tui.screens.{name}" for name in ("setup", "live", "replay")),
            *(f"engine.{name}" for name in ("report", "service.client", "measure.table")),
        )
    )
    loaded = loaded_after(f"import {modules}")
    assert "textual" in loaded and not loaded & set(HEAVY)


def test_help_needs_neither_textual_nor_numpy() -> None:
    loaded = loaded_after("import qood_tui.cli.main")
    assert not loaded & {"textual", "numpy", "rich", "msgspec", *HEAVY}


@pytest.mark.parametrize("module", ["engine.service.daemon", "engine.sweep.worker"])
def test_daemon_and_the_idle_worker_are_light(module: str) -> None:
    assert not loaded_after(f"import {module}") & {"torch", "textual", "timm", "sklearn", "numpy"}


def test_the_engine_never_imports_the_terminal() -> None:
    assert not loaded_after("import engine.sweep.sweep, engine.sweep.worker") & {
        "textual",
        "qood_tui",
        "plotext",
    }
