"""The conformance run: does a board, whoever wrote its firmware, keep the promises of PROTOCOL.md?"""
