"""Files, schemas and processes.

JSON artefacts with exact floats and digests, tables as dataclasses, templates, work on cores and
clusters; a `Target` is what an exporter registers.
"""
