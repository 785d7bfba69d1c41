"""The verbs that focus: `focus`, its `--follow`, and `demo`."""
