"""Logs in any of the formats that loggers, historians and spreadsheets write, as tables of cells:
layout, numbers and stamps are told from the whole file, and what is in doubt is refused."""
