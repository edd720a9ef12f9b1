# The contract suites: what a transport, a primitive or a cache policy must do, for whoever writes one.
#
# They stand in tests/suites and are the package wsrv.testing: by a link here, by a mapping in the wheel. They need
# pytest and hypothesis (pip install 'wsrv[testing]'); nothing else in wsrv imports them.
#
# Usage, in a test file:
#
#   from wsrv.testing.policy import PolicyContract
#
#   class TestMine(PolicyContract):
#       policy = Mine
"""Contract suites for plugins of wsrv, to be run by pytest."""

import pkgutil

import pytest

# Before they are imported, or their asserts would say nothing.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)))
