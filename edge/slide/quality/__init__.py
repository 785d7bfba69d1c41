"""The quality of a scan: a report that a person looks at, and the figures behind it."""
