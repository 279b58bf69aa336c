"""Which image sets a disk holds, in whatever layout: only names and labels, no image is opened."""
