"""The machine that a node runs on: namespaces of its own for processes, mounts and the network.

Nothing of it outlives its first process: when that one is killed, the kernel ends every container, unmounts every
volume and takes the network away, and that one is killed when the process that runs the tests ends, however it ends.
A cable (a pair of network devices) leads to this machine, so that tests reach pods and Services. There is no way
out: what runs there cannot reach the internet.
"""

import contextlib
import fcntl
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import IO, Final

from tests.cluster import tools

NAME: Final = "node1"
GONE_WITHIN_SECONDS: Final = 30.0
_SLOTS: Final = range(8)
"""How many machines there may be at a time."""
_FIRST_NETWORK: Final = int(IPv4Address("10.201.0.0"))
_CGROUPS: Final = Path("/sys/fs/cgroup")
_LOCKS: Final = Path("/run/lock")
_POLL_SECONDS: Final = 0.02
# What a start of Linux does: empty folders for what lives as long as the machine does, the disk's folders in place.
_BOOT: Final = """
hostname "$1"
mount --make-rshared /
mount -t tmpfs none /run
for folder in cni kubelet; do mkdir -p "/var/lib/$folder" "$2/$folder"; done
mount -t tmpfs none /var/lib/cni
mount --bind "$2/kubelet" /var/lib/kubelet
mount -t tmpfs none /var/log
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
echo up
exec "$3" > /dev/null
"""


class Machine:
    """One machine with a disk, the folder, which is all that it remembers from one start to the next."""

    def __init__(self, folder: Path) -> None:
        """Raises AssertionError when too many run already."""
        tools.require_node()
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock, self._slot = _slot(folder / "slot")
        block = IPv4Network((_FIRST_NETWORK + (self._slot << 16), 16))
        self.pods, self.services, self._cable = _parts(block)
        self.host_address, self.address = (str(address) for address in self._cable.hosts())
        """This machine's address as pods see it, and the node's."""
        self.cgroup = f"exchange-node-{self._slot}"
        """The control group that holds every pod of this machine and nothing else."""
        self._device = f"exnode{self._slot}"
        self._process: subprocess.Popen[bytes] | None = None
        self._block = block

    def start(self) -> None:
        """Power on. Whatever a killed run left is taken away before.

        The machine ends with the thread that calls this: it is to be the main one.
        """
        self._take_away_leftovers()
        for hierarchy in _hierarchies():
            (hierarchy / self.cgroup).mkdir()
        disk, first = str(self._folder), str(tools.own("pause"))
        namespaces = ("--net", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc")
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", *namespaces]
        self._process = subprocess.Popen(
            [*command, "sh", "-e", "-c", _BOOT, "boot", NAME, disk, first],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        if self._process.stdout.readline() != b"up\n":
            raise AssertionError(f"the machine does not start: {self._process.stderr.read().decode()}")
        self._connect()

    def end(self) -> None:
        """Power off, without a word to anybody. Returns once everything is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
        self._take_away_leftovers()

    def release(self) -> None:
        """Let others have its network."""
        self._lock.close()

    def inside(self, *command: str) -> list[str]:
        """The command that runs this one on the machine."""
        assert self._process is not None
        (first,) = children(self._process.pid)
        return ["nsenter", "-t", str(first), "-n", "-m", "-p", "-u", "--", *command]

    def run(self, *command: str) -> str:
        """Run it there to its end, and give what it printed. Raises AssertionError when it fails."""
        return _run(*self.inside(*command))

    def kill_containers(self) -> None:
        """kill -9 every process of every pod."""
        deadline = time.monotonic() + GONE_WITHIN_SECONDS
        while pids := {pid for folder in self._cgroups() for pid in _pids(folder)}:
            assert time.monotonic() < deadline, f"processes {pids} of {self.cgroup} do not end"
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            time.sleep(_POLL_SECONDS)

    def _connect(self) -> None:
        assert self._process is not None
        (first,) = children(self._process.pid)
        end = ("type", "veth", "peer", "name", "eth0", "netns", str(first))
        _run("ip", "link", "add", self._device, *end)
        length = self._cable.prefixlen
        _run("ip", "address", "add", f"{self.host_address}/{length}", "dev", self._device)
        _run("ip", "link", "set", self._device, "up")
        self.run("ip", "address", "add", f"{self.address}/{length}", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        # Only what has a route gets as far as to the rules of Services, also of those that nobody answers for.
        self.run("ip", "route", "add", str(self.services), "via", self.host_address)
        _run("ip", "route", "add", str(self._block), "via", self.address, "dev", self._device)

    def _take_away_leftovers(self) -> None:
        self.kill_containers()
        for folder in self._cgroups():
            folder.rmdir()
        deadline = time.monotonic() + GONE_WITHIN_SECONDS
        while Path("/sys/class/net", self._device).exists():
            assert time.monotonic() < deadline, f"the network device {self._device} does not go away"
            subprocess.run(["ip", "link", "delete", self._device], capture_output=True, check=False)
            time.sleep(_POLL_SECONDS)

    def _cgroups(self) -> list[Path]:
        """The innermost first, in the order in which they can be removed."""
        return [folder for hierarchy in _hierarchies() for folder in _inner_first(hierarchy / self.cgroup)]


def children(pid: int) -> list[int]:
    """The processes that this one has started and that have not ended."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _slot(remembered: Path) -> tuple[IO[str], int]:
    """A number that no other machine has, locked while this process lives; the folder's former one, if it had one."""
    wanted = [int(remembered.read_text())] if remembered.exists() else list(_SLOTS)
    for slot in wanted:
        lock = (_LOCKS / f"exchange-node-{slot}").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        remembered.write_text(str(slot))
        return lock, slot
    raise AssertionError(f"a Kubernetes node runs already under each of the numbers {wanted}; end one of them first")


def _parts(block: IPv4Network) -> tuple[IPv4Network, IPv4Network, IPv4Network]:
    """What the pods, the Services and the cable have of a machine's network."""
    pods, services = block.subnets(prefixlen_diff=2), list(block.subnets(prefixlen_diff=2))[1]
    cable = list(block.subnets(new_prefix=30))[-1]
    return next(pods), services, cable


def _hierarchies() -> list[Path]:
    """Where control groups are: one tree, or one a resource (version 1)."""
    if (_CGROUPS / "cgroup.procs").exists():
        return [_CGROUPS]
    return [folder for folder in _CGROUPS.iterdir() if folder.is_dir() and not folder.is_symlink()]


def _inner_first(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        for inner in folder.iterdir():
            if inner.is_dir():
                yield from _inner_first(inner)
        yield folder


def _pids(cgroup: Path) -> Iterator[int]:
    with contextlib.suppress(FileNotFoundError):
        for pid in (cgroup / "cgroup.procs").read_text().split():
            yield int(pid)


def _run(*command: str) -> str:
    return run(command)


def run(command: Sequence[str], **environment: str) -> str:
    """Run it to its end, and give what it printed. Raises AssertionError when it fails."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env=os.environ | environment
    )
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout
