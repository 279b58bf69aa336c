"""What image sets lie on a disk, whatever layout they came in: names and labels alone, no image is opened."""
