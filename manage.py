#!/usr/bin/env python
"""Django's command line: `python manage.py runlocal`, `import_clients`, `doctor`, `migrate`, …"""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clientimport.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as fault:
        # Says which variable, and where it is set: a traceback would bury it. From import_clients, 1 would
        # say that some rows were rejected.
        print(fault, file=sys.stderr)
        sys.exit(3 if sys.argv[1:2] == ["import_clients"] else 1)
    except KeyboardInterrupt:
        sys.exit(130)
