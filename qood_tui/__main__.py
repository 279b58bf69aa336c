"""`python -m qood_tui` is `qood-tui`."""

from qood_tui.cli.main import main

main(prog_name="qood-tui")
