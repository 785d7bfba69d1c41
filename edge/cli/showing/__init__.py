"""What commands print and write: tables, progress, JSON, pictures."""
