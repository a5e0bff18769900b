"""What Zappa and the local platform serve."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clientimport.settings")
application = get_wsgi_application()
