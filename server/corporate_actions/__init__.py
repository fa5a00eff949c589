"""LEAN's factor and map files from splits, dividends and renames: rules, builds, summaries and checks.

Public: `model` (what a provider's source returns), `events.gather` (sorts a vendor's records), `build` (on request),
`auto_refresh` (alongside a download), `context`, `tickers` (tickers of a symbol by its map file), `paths` (reading the
files), `summary` and `verify`.
"""
