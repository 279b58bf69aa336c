"""Key bindings made from the table of actions."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from qood_tui.settings.actions import GROUPS, key_names


def bindings(*groups: str, prefix: str = "") -> list[BindingType]:
    """Return the key bindings of groups of actions."""
    return [
        Binding(
            action.keys,
            f"{prefix}{action.call or action.id}",
            action.label,
            show=action.footer,
            tooltip=action.help,
            id=action.id,
            key_display=key_names(action.keys.split(",")[0]),
        )
        for group in groups
        for action in GROUPS[group]
    ]
