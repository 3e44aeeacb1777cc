"""The operator's page, served by the process that operates."""
