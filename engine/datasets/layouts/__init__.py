"""The layouts in which image sets lie below a folder: one function per file, listed in `catalog.LAYOUTS`.

Each takes the root and the sets that earlier layouts found, by name, and adds its own.
"""
