"""What the doctor is shown in tests: fresh processes, modules in the way of real ones, files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

NO_TORCH = "raise ImportError('libcudart.so.99: cannot open shared object file')"
GIB = 2**30


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGINGFACE_"))}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=180,
        env={**known, **environment},
    )


def broken(folder: Path, module: str, code: str) -> str:
    """Put a module in the way of a real one and return the PYTHONPATH that does it."""
    (folder / f"{module}.py").write_text(code + "\n")
    return str(folder)


def file(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def make_weights(home: Path, tag: str) -> None:
    repository = home / "hub" / f"models--timm--{tag}"
    file(repository / "refs" / "main", "abc")
    file(repository / "snapshots" / "abc" / "model.safetensors", "weights")
