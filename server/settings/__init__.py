"""The settings: flag over environment over lean.json over default, read once at the start."""

from server.settings.core import CORE_SETTINGS, ProviderChoice, Settings, load_settings
from server.settings.reader import SettingMissing, SettingsReader
from server.settings.values import Source

__all__ = ["CORE_SETTINGS", "ProviderChoice", "SettingMissing", "Settings", "SettingsReader", "Source", "load_settings"]
