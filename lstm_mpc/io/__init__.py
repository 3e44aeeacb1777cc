"""Files, schemas and processes: JSON artefacts with exact floats and digests, tables as
dataclasses, work on cores and clusters."""
