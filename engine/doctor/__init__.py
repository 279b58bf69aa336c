"""`qood-tui doctor`: whether this machine has what a sweep needs, one finding per question."""
