"""Lambda entry points: event → one domain call → result.

Importing a worker sets Django up.
"""

import gc
import os

import django
from django.apps import apps

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clientimport.settings")
if not apps.ready:
    # Nothing that a start makes is garbage: looking for some took a tenth of it.
    gc.disable()
    django.setup()
    gc.freeze()
    gc.enable()
