"""The verbs for a scanned slide. They move nothing."""
