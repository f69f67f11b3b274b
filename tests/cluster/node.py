"""A real Kubernetes cluster of one node on this machine: everything that runs on a node of any cluster runs here.

    python -m tests.cluster.node FOLDER

starts one for a person to try, until Ctrl-C. The folder keeps all of it: started again, the cluster is as it was.
Pods cannot reach the internet, and no registry: images are loaded. The network plug-in does not enforce
NetworkPolicies: they are accepted, and change nothing. There are no metrics of pods, so nothing scales by itself.
"""

import contextlib
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import yaml

from tests.cluster import tools
from tests.cluster.api_server import Etcd, KubeApiServer
from tests.cluster.certificates import ADMINISTRATORS, Authority
from tests.cluster.client import Client
from tests.cluster.daemon import Daemon, answers_at
from tests.cluster.machine import NAME, Machine
from tests.cluster.scratch import scratch_image
from tests.cluster.volumes import CLASSES, Provisioner

DOMAIN: Final = "cluster.local"
PAUSE_IMAGE: Final = "registry.k8s.io/pause:3.6"
COREDNS_IMAGE: Final = f"registry.k8s.io/coredns/coredns:v{tools.COREDNS}"
_API_PORT: Final = 6443
_ETCD_PORTS: Final = (2379, 2380)
_SOCKET: Final = "/run/containerd/containerd.sock"
_ALWAYS: Final = ("--leader-elect=false", "--profiling=false")
_DNS: Final = Path(__file__).with_name("coredns.yaml")

_CONTAINERD: Final = """
version = 2
root = "{root}"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs"]
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Some machines let nobody lower a process's score, and a container that wants to would not start.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{networks}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


class Cluster(Client):
    """A cluster whose node, control plane and all, is this machine within namespaces; ended by the pid of its first
    process. Addresses, data and certificates stay the same from start to start."""

    def __init__(self, folder: Path) -> None:
        """Raises AssertionError when something is missing on this machine, or too many clusters run already."""
        self._folder = folder.resolve()
        self.machine = Machine(self._folder / "disk")
        self.dns_address = str(self.machine.services[10])
        authority = Authority(self._folder / "certificates")
        self._etcd = Etcd(self._folder / "etcd", _ETCD_PORTS, self.machine)
        self._api = KubeApiServer(
            self._folder / "apiserver",
            self._etcd,
            authority,
            _API_PORT,
            services=self.machine.services,
            options=["--allow-privileged=true"],
            machine=self.machine,
        )
        self._authority = authority
        self._administrator = authority.issue("admin", "admin", group=ADMINISTRATORS)
        super().__init__(authority.kubeconfig("admin", self._api.url, self._administrator))
        self._containerd = self._make_containerd()
        self._kubelet = self._make_kubelet()
        self._others = [self._make_controllers(), self._make_scheduler(), self._make_proxy()]
        self._provisioner: Provisioner | None = None

    def start(self) -> None:
        """Start everything, and return once pods can run and names resolve. To be called by the main thread."""
        self.machine.start()
        _at_once([self._containerd.start, self._start_control_plane])
        gone = self._containers_said_to_run()
        _at_once([self._load_own_images, *(daemon.start for daemon in (self._kubelet, *self._others))])
        self.apply(CLASSES)
        self.apply(_DNS.read_text().format(image=COREDNS_IMAGE, address=self.dns_address, domain=DOMAIN))
        self._provisioner = Provisioner(self._folder / "volumes", self._api.url, self._authority, self._administrator)
        self._provisioner.start()
        self._wait_until_known(gone)
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until the node takes pods and the cluster's DNS answers."""
        self.until(self._node_exists, f"node {NAME} registers itself")
        self.wait(f"node/{NAME}", "--for=condition=Ready")
        self.wait("deployment/coredns", "--for=condition=Available", namespace="kube-system")

    def end(self) -> None:
        """Whatever happened before, leave nothing running, mounted or connected. The data stays."""
        self._power_off()
        self.machine.release()

    def power_cut(self) -> None:
        """The machine, control plane and all, goes off in an instant, and is started again."""
        self._power_off()
        self.start()

    def reboot(self) -> None:
        """The node goes down and comes up, as the control plane sees it, which goes on: each process of each pod,
        containerd and the kubelet are killed, and the latter two started again. Returns once the API server knows."""
        gone = self._containers_said_to_run()
        self._kubelet.kill()
        self._containerd.kill()
        self.machine.kill_containers()
        self._containerd.start()
        self._kubelet.start()
        self._wait_until_known(gone)

    def restart_kubelet(self) -> None:
        """The kubelet and containerd are killed and started again, while pods go on.

        A new kubelet calls every pod unready until it has probed it: for a second or so Services have no one behind
        them, as on any node.
        """
        self._kubelet.kill()
        self._containerd.kill()
        self._containerd.start()
        self._kubelet.start()

    def report(self, namespace: str) -> str:
        """Everything that helps to see why something in the namespace does not come up."""
        error = self._provisioner.error if self._provisioner else ""
        return super().report(namespace) + (f"\n--- no volumes: {error}" if error else "")

    def load_image(self, archive: Path) -> None:
        """Have the node hold the images of the archive, which docker or buildah wrote (docker-archive or OCI)."""
        self.machine.run("ctr", "-a", _SOCKET, "-n", "k8s.io", "images", "import", "--all-platforms", str(archive))

    def name_image(self, image: str, name: str) -> None:
        """Have the node know an image that it holds by another name too."""
        self.machine.run("ctr", "-a", _SOCKET, "-n", "k8s.io", "images", "tag", "--force", image, name)

    def images(self) -> list[str]:
        """The names of all images that the node holds."""
        return self.machine.run("ctr", "-a", _SOCKET, "-n", "k8s.io", "images", "list", "-q").split()

    def forget_images(self) -> None:
        """Remove the node's images and containers from the disk, which are most of it. Only when it has ended."""
        shutil.rmtree(self._folder / "containerd" / "data", ignore_errors=True)

    def _power_off(self) -> None:
        if self._provisioner is not None:
            self._provisioner.end()
        self.machine.end()
        for daemon in (self._kubelet, *self._others, self._containerd, self._api, self._etcd):
            daemon.end()

    def _start_control_plane(self) -> None:
        self._etcd.start()
        self._api.start()

    def _load_own_images(self) -> None:
        held = self.images()
        for image, program in ((PAUSE_IMAGE, tools.own("pause")), (COREDNS_IMAGE, tools.coredns())):
            if image not in held:
                self.load_image(scratch_image(self._folder / "disk" / "image.tar", image, program))

    def _containers_said_to_run(self) -> set[str]:
        """The containers that run as far as the API server knows."""
        statuses = [
            one for pod in self.get("pods", "-A")["items"] for one in pod["status"].get("containerStatuses", [])
        ]
        return {one["containerID"] for one in statuses if "running" in one["state"]}

    def _wait_until_known(self, gone: set[str]) -> None:
        """Wait until the API server knows that these containers run no more: before, it calls their pods ready."""
        self.until(lambda: not gone & self._containers_said_to_run(), "the kubelet reports what ended")

    def _node_exists(self) -> bool:
        return bool(self.get("nodes")["items"])

    def _make_containerd(self) -> Daemon:
        folder = self._folder / "containerd"
        networks = folder / "networks"
        networks.mkdir(parents=True, exist_ok=True)
        text = _CONTAINERD.format(
            root=folder / "data", socket=_SOCKET, pause=PAUSE_IMAGE, plugins=tools.CNI, networks=networks
        )
        (folder / "config.toml").write_text(text)
        # Each pod has a cable of its own to the node, where every packet passes: no rule is gone around.
        addresses = {
            "type": "host-local",
            "ranges": [[{"subnet": str(self.machine.pods)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": "/run/cni/addresses",
        }
        plugins = [{"type": "ptp", "ipam": addresses}, {"type": "portmap", "capabilities": {"portMappings": True}}]
        network = {"cniVersion": "1.0.0", "name": "pods", "plugins": plugins}
        (networks / "10-pods.conflist").write_text(json.dumps(network))
        command: list[str | Path] = ["containerd", "--config", folder / "config.toml"]
        return Daemon("containerd", folder, command, self._containerd_answers, self.machine)

    def _containerd_answers(self) -> bool:
        # What it says last before it serves the kubelet; its socket answers earlier, and then the kubelet gives up.
        return "Start streaming server" in self._containerd.log()

    def _make_kubelet(self) -> Daemon:
        folder = self._folder / "kubelet"
        folder.mkdir(exist_ok=True)
        configuration = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self._authority.pair.certificate)},
            },
            "authorization": {"mode": "Webhook"},
            "address": self.machine.address,
            "healthzBindAddress": self.machine.address,
            "containerRuntimeEndpoint": f"unix://{_SOCKET}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.machine.cgroup}",
            "failCgroupV1": False,
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "clusterDNS": [self.dns_address],
            "clusterDomain": DOMAIN,
            "resolvConf": "",
            # Some machines let nobody lower it.
            "oomScoreAdj": 0,
            # The disk is the tests' own business.
            "evictionHard": {},
            "imageGCHighThresholdPercent": 100,
            "localStorageCapacityIsolation": False,
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(configuration))
        identity = self._authority.issue("kubelet", f"system:node:{NAME}", group="system:nodes")
        command: list[str | Path] = [
            tools.kubernetes("kubelet"),
            f"--config={folder / 'config.yaml'}",
            f"--kubeconfig={self._authority.kubeconfig('kubelet', self._api.url, identity)}",
            f"--hostname-override={NAME}",
            f"--node-ip={self.machine.address}",
            "--node-labels=topology.kubernetes.io/zone=zone1",
        ]
        healthy = answers_at(f"http://{self.machine.address}:10248/healthz")
        return Daemon("kubelet", folder, command, healthy, self.machine)

    def _make_controllers(self) -> Daemon:
        accounts = self._authority.issue("service-accounts", "service-accounts")
        command: list[str | Path] = [
            tools.kubernetes("kube-controller-manager"),
            f"--kubeconfig={self.kubeconfig}",
            f"--bind-address={self.machine.address}",
            f"--service-account-private-key-file={accounts.key}",
            f"--root-ca-file={self._authority.pair.certificate}",
            "--use-service-account-credentials=false",
            *_ALWAYS,
        ]
        healthy = answers_at(f"https://{self.machine.address}:10257/healthz")
        return Daemon("controller manager", self._folder / "controllers", command, healthy, self.machine)

    def _make_scheduler(self) -> Daemon:
        command: list[str | Path] = [
            tools.kubernetes("kube-scheduler"),
            f"--kubeconfig={self.kubeconfig}",
            f"--bind-address={self.machine.address}",
            *_ALWAYS,
        ]
        healthy = answers_at(f"https://{self.machine.address}:10259/healthz")
        return Daemon("scheduler", self._folder / "scheduler", command, healthy, self.machine)

    def _make_proxy(self) -> Daemon:
        folder = self._folder / "proxy"
        folder.mkdir(exist_ok=True)
        configuration = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "iptables": {"minSyncPeriod": "100ms"},
            "clientConnection": {"kubeconfig": str(self.kubeconfig)},
            "clusterCIDR": str(self.machine.pods),
            "hostnameOverride": NAME,
            "bindAddress": self.machine.address,
            "healthzBindAddress": f"{self.machine.address}:10256",
            "conntrack": {"maxPerCore": 0},
            "oomScoreAdj": 0,
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(configuration))
        command: list[str | Path] = [tools.kubernetes("kube-proxy"), f"--config={folder / 'config.yaml'}"]
        healthy = answers_at(f"http://{self.machine.address}:10256/livez")
        return Daemon("proxy", folder, command, healthy, self.machine)


def _at_once(actions: Iterable[Callable[[], None]]) -> None:
    """Do all of them side by side, and raise what the first of them raised."""
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(action) for action in actions]:
            done.result()


def main() -> None:
    folder = Path(sys.argv[1])
    cluster = Cluster(folder)
    begin = time.monotonic()
    try:
        cluster.start()
        print(f"ready after {time.monotonic() - begin:.1f} s; Ctrl-C ends it")
        print(f"export KUBECONFIG={cluster.kubeconfig}")
        print(f"alias kubectl={tools.kubernetes('kubectl')} helm={tools.helm()}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    finally:
        cluster.end()


if __name__ == "__main__":
    main()
