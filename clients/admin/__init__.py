from django.contrib import admin

from clients.admin.client import ClientAdmin
from clients.admin.import_run import ImportRunAdmin

__all__ = ["ClientAdmin", "ImportRunAdmin"]

admin.site.site_header = admin.site.site_title = "Client import"
admin.site.index_title = "Overview"
admin.site.site_url = None
