"""The instrument: camera, prepare, estimate, focus, session, command line."""
