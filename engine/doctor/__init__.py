"""`qood-tui doctor`: whether what a sweep needs is here, a finding for every question."""
