"""How fast the import is, as ratios to raw COPY of the same rows into the same table: `make bench`."""
