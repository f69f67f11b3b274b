"""A network of the test's own: a bridge on this machine, and hosts in namespaces whose cable can be pulled. As root."""

import os
import shutil
import subprocess
from types import TracebackType
from typing import Self

_NETWORK = "10.{}.{}"


class Network:
    """A bridge and its hosts; `with` removes it all. address: of this machine on it."""

    def __init__(self) -> None:
        # Names of interfaces have 15 characters at most; two tests may run at the same time.
        self._tag = f"{os.getpid() % 1_000_000}"
        self._bridge = f"ex{self._tag}"
        self._prefix = _NETWORK.format(64 + os.getpid() % 128, os.getpid() // 128 % 256)
        self.address = f"{self._prefix}.1"
        self._hosts: dict[str, str] = {}

    def __enter__(self) -> Self:
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("address", "add", f"{self.address}/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        # What ran in them must have ended: a namespace lives as long as its last process.
        for name in list(self._hosts):
            _ip("netns", "delete", self._namespace(name))
        _ip("link", "delete", self._bridge)

    def add_host(self, name: str) -> str:
        """Returns the address of a host, which is made when there is none of this name."""
        if name in self._hosts:
            return f"{self._prefix}.{list(self._hosts).index(name) + 2}"
        number = len(self._hosts) + 2
        namespace, cable = self._namespace(name), f"ex{self._tag}c{number}"
        self._hosts[name] = cable
        _ip("netns", "add", namespace)
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("link", "set", cable, "master", self._bridge, "up")
        for arguments in (
            ("address", "add", f"{self._prefix}.{number}/24", "dev", "eth0"),
            ("link", "set", "lo", "up"),
            ("link", "set", "eth0", "up"),
        ):
            _ip("-n", namespace, *arguments)
        return f"{self._prefix}.{number}"

    def command(self, name: str) -> list[str]:
        """What to put in front of a command so that it runs on a host; its pid is that of the command itself."""
        return ["ip", "netns", "exec", self._namespace(name)]

    def cut(self, name: str) -> None:
        """Pull a host's cable: nobody is told, connections just fall silent."""
        _ip("link", "set", self._hosts[name], "down")

    def mend(self, name: str) -> None:
        """Put it back."""
        _ip("link", "set", self._hosts[name], "up")

    def _namespace(self, name: str) -> str:
        return f"exchange-{self._tag}-{name}"


def _ip(*arguments: str) -> None:
    assert shutil.which("ip"), "the tests cut real networks with `ip`. On Debian: apt-get install -y iproute2"
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
