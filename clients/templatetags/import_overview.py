from typing import Any

from django import template

from clients.admin import dashboard

register = template.Library()


@register.simple_tag
def import_overview() -> dict[str, Any]:
    """What the admin's front page shows of the imports."""
    return dashboard.overview()
