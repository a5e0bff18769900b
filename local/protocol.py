"""What the local AWS and its users agree on; imports nothing, so that neither loads the other's packages."""

HOST = "127.0.0.1"
# Paths answered beside AWS's own; no bucket's name may begin with an underscore.
MAILS = "/_local/mails"
RESTORE = "/_local/restore"
# Exit code of the server's process when something else has its port.
IN_USE = 98
