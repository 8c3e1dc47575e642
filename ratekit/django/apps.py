"""
The application: `INSTALLED_APPS = [..., "ratekit.django"]` brings the system checks and `manage.py ratekit`.
"""

from importlib import import_module

from django.apps import AppConfig, apps
from django.conf import settings


class RateKitConfig(AppConfig):
    """ratekit as a Django application."""

    name = "ratekit.django"
    label = "ratekit"
    verbose_name = "ratekit"

    def ready(self) -> None:
        """Register the checks; a throttle rate that cannot be stops the project here."""
        import_module("ratekit.django.checks")
        used = (getattr(settings, "REST_FRAMEWORK", None) or {}).get("DEFAULT_THROTTLE_CLASSES", ())
        if apps.is_installed("rest_framework") and any(str(name).startswith("ratekit.") for name in used):
            import_module("ratekit.drf").check_rates()
