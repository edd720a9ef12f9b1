# A package and not merely a folder: distributions that the tests need bring a package `tests` of their own, which would
# be found instead.
"""The tests."""
