"""``saywhere models``: List networks and weights."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from saywhere.cli.common import console
from saywhere.errors import SaywhereError


def models() -> None:
    """The networks that can be trained, and the weights that came along."""
    from saywhere.models import MODELS, build
    from saywhere.models.checkpoint import read_tensors
    from saywhere.runtime.weights import shipped

    networks = Table("network", "parameters", title="networks")
    for name in MODELS:
        try:
            count = sum(p.numel() for p in build(name, {}).parameters())
        except SaywhereError as error:  # the papers' networks need more than a plain installation has
            networks.add_row(name, escape(str(error)))
        else:
            networks.add_row(name, f"{count / 1e6:.2f} M")
    console.print(networks)
    table = Table("name", "network", "MB", "steps", "trained on", title="weights")
    for name, path in shipped().items():
        _, facts = read_tensors(path)
        size = path.stat().st_size / 1e6
        table.add_row(name, facts["model"], f"{size:.1f}", f"{facts['step']:,}", ", ".join(facts["data"]))
    console.print(table)
