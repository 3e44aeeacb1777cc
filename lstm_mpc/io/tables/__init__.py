"""Tables that others bring: data frames and Parquet files."""
