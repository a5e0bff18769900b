"""The chaos harness: real worker processes are killed, frozen and cut off while they import.

    python -m tests.chaos [--rounds N] [--seed S]

Each round uploads a few files, delivers their events (some twice, some late, some never) to several worker
processes at once and breaks things at random moments. Then time passes: retries, dead letters, the
reconciler. In the end everything must be as `model.py`, which knows nothing of the engine, says. A round
that fails prints the line that plays it again.
"""
