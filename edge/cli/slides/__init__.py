"""The verbs for a slide: `overview`, `survey`, `scan`, and those that read or export a finished scan."""
