"""Volumes for claims, as a storage system gives them: folders of this machine, one a volume.

They are `local` volumes and not host paths, because the kubelet then hands a volume to a pod's fsGroup as it does with
a disk: a pod that does not ask for it cannot write.
"""

import shutil
import ssl
import threading
from pathlib import Path
from typing import Any, Final

import httpx

from tests.cluster.certificates import Authority, Pair
from tests.cluster.machine import NAME

CLASS: Final = "standard"
IMMEDIATE_CLASS: Final = "immediate"
FAST_CLASS: Final = "fast-ssd"
"""As k8s/exchange-production.yaml calls it."""
_PROVISIONER: Final = "exchange.test/folder"
_LOOK_SECONDS: Final = 0.3
_SELECTED: Final = "volume.kubernetes.io/selected-node"
_PATCH: Final = {"Content-Type": "application/merge-patch+json"}

_CLASS: Final = """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: {name}
  annotations: {{storageclass.kubernetes.io/is-default-class: "{default}"}}
provisioner: {provisioner}
volumeBindingMode: {mode}
reclaimPolicy: Delete
allowVolumeExpansion: true
---
"""
CLASSES: Final = "".join(
    _CLASS.format(name=name, default=str(name == CLASS).lower(), provisioner=_PROVISIONER, mode=mode)
    for name, mode in (
        (CLASS, "WaitForFirstConsumer"),
        (FAST_CLASS, "WaitForFirstConsumer"),
        (IMMEDIATE_CLASS, "Immediate"),
    )
)
"""All but the immediate one bind a claim when a pod wants it; that one does at once."""


class Provisioner(threading.Thread):
    """It makes volumes for claims of these classes, lets them grow, and removes them when their claims are gone."""

    def __init__(self, folder: Path, url: str, authority: Authority, administrator: Pair) -> None:
        """folder: where volumes are. url: of the API server."""
        super().__init__(name="provisioner", daemon=True)
        self._folder = folder
        self._url = url
        self._trust = ssl.create_default_context(cafile=authority.pair.certificate)
        self._trust.load_cert_chain(administrator.certificate, administrator.key)
        self._ended = threading.Event()
        self.error = ""
        """What went wrong last, for reports."""

    def run(self) -> None:
        with httpx.Client(base_url=self._url, verify=self._trust, timeout=5.0) as client:
            while not self._ended.wait(_LOOK_SECONDS):
                try:
                    self._look(client)
                    self.error = ""
                except httpx.HTTPStatusError as error:
                    # Somebody else changed the object: the next look sees how it is.
                    self.error = f"{error}: {error.response.text}"
                except httpx.HTTPError as error:
                    self.error = f"{error}"

    def end(self) -> None:
        self._ended.set()
        if self.is_alive():
            self.join()

    def _look(self, client: httpx.Client) -> None:
        classes = {CLASS: False, FAST_CLASS: False, IMMEDIATE_CLASS: True}
        volumes = {volume["metadata"]["name"]: volume for volume in _items(client, "/api/v1/persistentvolumes")}
        for claim in _items(client, "/api/v1/persistentvolumeclaims"):
            immediate = classes.get(claim["spec"].get("storageClassName", ""))
            if immediate is None or "deletionTimestamp" in claim["metadata"]:
                continue
            name = f"pvc-{claim['metadata']['uid']}"
            if name in volumes:
                self._grow(client, claim, volumes[name])
            elif immediate or _SELECTED in claim["metadata"].get("annotations", {}):
                self._make(client, name, claim)
        for name, volume in volumes.items():
            released = volume.get("status", {}).get("phase") == "Released"
            if released and volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete":
                self._remove(client, name)

    def _make(self, client: httpx.Client, name: str, claim: dict[str, Any]) -> None:
        path = self._folder / name
        path.mkdir(parents=True, exist_ok=True)
        about, wanted = claim["metadata"], claim["spec"]
        here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NAME]}
        volume = {
            # The annotation tells the controllers that volumes of this kind are removed by somebody else.
            "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": _PROVISIONER}},
            "spec": {
                "storageClassName": wanted["storageClassName"],
                "capacity": {"storage": wanted["resources"]["requests"]["storage"]},
                "accessModes": wanted["accessModes"],
                "persistentVolumeReclaimPolicy": "Delete",
                "claimRef": {"namespace": about["namespace"], "name": about["name"], "uid": about["uid"]},
                "local": {"path": str(path)},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            },
        }
        client.post("/api/v1/persistentvolumes", json=volume).raise_for_status()

    def _grow(self, client: httpx.Client, claim: dict[str, Any], volume: dict[str, Any]) -> None:
        wanted = claim["spec"]["resources"]["requests"]["storage"]
        status = claim.get("status", {})
        if status.get("phase") != "Bound" or status["capacity"]["storage"] == wanted:
            return
        about = claim["metadata"]
        capacity = {"capacity": {"storage": wanted}}
        url = f"/api/v1/persistentvolumes/{volume['metadata']['name']}"
        client.patch(url, json={"spec": capacity}, headers=_PATCH).raise_for_status()
        url = f"/api/v1/namespaces/{about['namespace']}/persistentvolumeclaims/{about['name']}/status"
        client.patch(url, json={"status": capacity}, headers=_PATCH).raise_for_status()

    def _remove(self, client: httpx.Client, name: str) -> None:
        client.delete(f"/api/v1/persistentvolumes/{name}").raise_for_status()
        shutil.rmtree(self._folder / name, ignore_errors=True)


def _items(client: httpx.Client, path: str) -> list[dict[str, Any]]:
    answer = client.get(path).raise_for_status()
    items: list[dict[str, Any]] = answer.json()["items"]
    return items
