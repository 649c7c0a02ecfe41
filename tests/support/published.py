"""Tiny weights of the published networks in a folder of their own, in place of those that ship."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from saywhere.training.recipe_files import read_recipe

SIZES = {"phraseclick": 96, "textclick": 96, "dctnet": 64, "sequential": 96, "multistage": 64}
"""The sizes at which the tiny networks pretend to have been trained."""
ATTRIBUTES = read_recipe("phraseclick-small").model.options["attributes"]  # as many as trained weights have
OPTIONS: dict[str, dict[str, Any]] = {
    "dctnet": {"backbone": "mobilenetv2_050", "channels": 16, "hidden": 8},
    "multistage": {"backbone": "mobilenetv2_050", "channels": 16, "late_channels": 16},
    "phraseclick": {"backbone": "mobilenetv2_050", "channels": 16, "hidden": 8, "attributes": ATTRIBUTES},
    "sequential": {"backbone": "mobilenetv2_050", "widths": [8, 8, 16, 32]},
    "textclick": {"backbone": "mobilenetv2_050", "channels": 16, "relevance": {"weights": "saywhere"}},
}


def write_tiny(folder: Path) -> Path:
    """Write weights of all published networks, not trained."""
    import torch

    from saywhere.models import build
    from saywhere.models.checkpoint import save_model
    from saywhere.models.phraseclick import PhraseClick

    folder.mkdir(parents=True, exist_ok=True)
    for name, options in OPTIONS.items():
        torch.manual_seed(0)
        facts = {"step": 0, "data": [], "size": SIZES[name], "zoom": name in ("dctnet", "sequential")}
        model = build(name, options)
        if isinstance(model, PhraseClick):
            torch.nn.init.ones_(model.attention.gate)  # at 0, as it begins, phrases change nothing
        save_model(folder / f"{name}.safetensors", model, name, options, facts)
    return folder


def with_weights_in(papers: Path, without_torch: bool = False) -> str:
    """Python code of the command line with another folder of published weights, for a process of its own."""
    block = "import sys; sys.modules['torch'] = None; " if without_torch else ""
    return (
        f"{block}from pathlib import Path; from saywhere.runtime import weights; "
        f"weights.papers_folder = lambda: Path({str(papers)!r}); from saywhere.cli.main import main; main()"
    )


def run(papers: Path, *arguments: object, cwd: Path, without_torch: bool = False) -> subprocess.CompletedProcess[str]:
    """``saywhere ARGUMENTS`` in a process of its own."""
    command = [sys.executable, "-c", with_weights_in(papers, without_torch), *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "200", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)
