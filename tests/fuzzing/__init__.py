"""Bytes that nobody means to send or store, and what must become of them.

`targets` says what; `corpus/<target>/` is where each begins. `python -m tests.fuzzing 3600` runs atheris for an hour;
`tests/test_fuzzing.py` replays the corpus and fuzzes for a short while.
"""
