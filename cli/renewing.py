# The settings of a running server, read again: the same flags and environment, the file as it is now.
#
# Rule 1: what is wrong is told as `wsrv serve` tells it, every fault, and then nothing of it counts.
# Rule 2: a setting that only a start can take up stays what it was, and is named.
"""What a running server reads its settings with."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wsrv.cli import parts, serve
from wsrv.cli.exits import USAGE, Stop
from wsrv.cli.table import SETTINGS
from wsrv.cli.values import DEFAULT, Value, config_file, in_force, resolve
from wsrv.engine.cache.variants import variant
from wsrv.engine.master.renewal import CannotRenew, Renewal
from wsrv.engine.settings import SHARED

if TYPE_CHECKING:
    from wsrv.cli.configfile import ConfigFile
    from wsrv.engine.master.parts import Parts
    from wsrv.engine.settings import ServiceSettings

# What the memory of a shared cache was made for.
_OF_SHARED_MEMORY = ("cache.size", "cache.max_object")


class Renewing:
    """Reads the settings of a server that was started with these: `started` by key, AUTO worked out; `given` by a
    service manager."""

    def __init__(
        self,
        config: str | None,
        flags: Mapping[str, Any],
        environ: Mapping[str, str],
        file: "ConfigFile | None",
        started: Mapping[str, Value],
        given: "ServiceSettings",
        chosen: "Parts",
    ) -> None:
        self._config = config
        self._flags = flags
        self._environ = environ
        self._file = file
        self._started = started
        self._given = given
        self._chosen = chosen

    def __call__(self) -> Renewal:
        """What they are now. Raises CannotRenew."""
        try:
            return self._read()
        except Stop as stop:
            raise CannotRenew(str(stop)) from stop

    def _read(self) -> Renewal:
        file = config_file(self._config, self._environ)
        if file is None and self._file is not None:
            raise Stop(USAGE, f"{self._file.path} is gone, and the server was started with it")
        values = resolve(self._flags, self._environ, file)
        there = parts.registry(self._environ)
        if faults := [*serve.site_faults(values), *parts.unknown(values, there)]:
            raise Stop(USAGE, "\n".join(faults))
        now = in_force(values)
        pending = self._pending(now)
        settings = serve.engine_settings({**now, **{key: self._started[key] for key in pending}}, file, self._given)
        name = now["cache.policy"].value
        policy = variant(self._chosen.policies, name)
        if (obstacle := there.obstacle("policy", name, settings.cache)) is not None:
            raise Stop(USAGE, f"{now['cache.policy'].origin}: {name}: {obstacle}")
        lines = tuple(f"{now[key].origin} has changed; only a restart takes it up" for key in pending)
        return Renewal(serve.with_types(settings, self._chosen.types), policy, lines)

    def _pending(self, now: Mapping[str, Value]) -> list[str]:
        """The settings that have changed and wait for a restart."""
        fixed = {setting.key for setting in SETTINGS if setting.restart}
        if self._started["cache.scope"].value == SHARED:
            fixed.update(_OF_SHARED_MEMORY)
        return [s.key for s in SETTINGS if s.key in fixed and self._differs(now[s.key], self._started[s.key])]

    @staticmethod
    def _differs(now: Value, started: Value) -> bool:
        """Whether somebody wants another value; what follows from others is not meant."""
        return now.value != started.value and not now.layer == started.layer == DEFAULT
