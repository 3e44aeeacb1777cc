"""Export of a released model: one file per target; every target returns texts, `write_folder` alone touches the disk."""
