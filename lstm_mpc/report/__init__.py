"""The design report: sections, page, comparison."""
