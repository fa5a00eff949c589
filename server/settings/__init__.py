"""The settings: flags over environment over lean.json over defaults, read once at the edge."""

from server.settings.core import CORE_SETTINGS, CoreSetting, Settings, load_settings

__all__ = ["CORE_SETTINGS", "CoreSetting", "Settings", "load_settings"]
