"""Every registered cache policy does what the protocol says."""

from wsrv.plugins.registry import load
from wsrv.testing.policy import PolicyContract

for _name, _policy in load().policies.items():
    globals()[f"Test_{_name}"] = type(f"Test_{_name}", (PolicyContract,), {"policy": _policy})
