"""What keeps the house in order afterwards, on a schedule or when asked: the reconciler, the cleaner, undo,
the dead-letter queue, the doctor.

Knows how an import is found and asked for, never how a person asks for anything (actions, admin).
"""
