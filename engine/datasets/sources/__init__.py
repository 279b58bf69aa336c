"""Where the images of a set lie: one kind of source per file, listed in `catalog.SOURCES`."""
