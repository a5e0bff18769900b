"""From a file's bytes to rows of cells: what kind of file, compression, encoding, lines, records, limits.

Streams: memory stays at a few blocks, whatever the size. Knows the contract, but no database and no AWS, and
not what becomes of a row.
"""
