"""Hostile bytes: what must hold whatever comes, one function a parser, for Hypothesis and for atheris."""
