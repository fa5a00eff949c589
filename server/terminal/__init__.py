"""What commands print: messages, progress, reports, calendars of trading days and equity curves."""
