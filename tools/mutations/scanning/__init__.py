"""Mutations of surveys and scans, with stops and swept."""
