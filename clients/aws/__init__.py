"""The only code that calls AWS: uploads in S3 and their events, asking a worker function, secrets, metrics.

Knows what a run is, but decides nothing about one.
"""
