"""The provider contract (`hookspecs`), the plugin manager, and the built-in providers."""
