"""A scanned slide: its master, its exports, what people see of it. Moves nothing."""
