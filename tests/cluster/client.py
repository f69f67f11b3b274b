"""What a person does to a cluster: kubectl, helm, and words for the rest."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tests.cluster import tools

COMMAND_WITHIN_SECONDS: Final = 600.0
_POLL_SECONDS: Final = 0.2
_LOG_LINES: Final = 40


class Client:
    """One who may do everything in the cluster that the file tells of."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self._kubectl = tools.kubernetes("kubectl")

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """What kubectl printed. Raises AssertionError, with what it said, when it fails."""
        done = self._run([str(self._kubectl), *arguments], stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}"
        return done.stdout

    def kubectl_command(self, *arguments: str) -> list[str]:
        """The command line of kubectl with these arguments, for a process that goes on."""
        return [str(self._kubectl), f"--kubeconfig={self.kubeconfig}", *arguments]

    def helm(self, *arguments: str) -> str:
        """What helm printed. Raises AssertionError, with what it said, when it fails."""
        done = self._run([str(tools.helm()), *arguments], "")
        assert done.returncode == 0, f"helm {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}"
        return done.stdout

    def apply(self, text: str, *options: str) -> str:
        """Apply the YAML, which may hold many documents."""
        return self.kubectl("apply", *options, "-f", "-", stdin=text)

    def refusal(self, text: str, *options: str) -> str:
        """What `kubectl apply` says when it refuses this. Raises AssertionError when it accepts it."""
        done = self._run([str(self._kubectl), "apply", *options, "-f", "-"], text)
        assert done.returncode != 0, f"kubectl accepts it: {done.stdout}"
        return done.stderr

    def get(self, *arguments: str) -> dict[str, Any]:
        """What `kubectl get` with these arguments finds."""
        found: dict[str, Any] = json.loads(self.kubectl("get", "-o", "json", *arguments))
        return found

    def wait(self, *arguments: str, namespace: str = "default", within: float = 120.0) -> None:
        """`kubectl wait` with these arguments, such as ("pod/a", "--for=condition=Ready"). within: seconds.

        Raises AssertionError, with what pods and events say, when it does not come true in time.
        """
        try:
            self.kubectl("wait", "-n", namespace, *arguments, f"--timeout={within}s")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.report(namespace)}") from None

    def until(self, true: Callable[[], bool], what: str, *, namespace: str = "default", within: float = 120.0) -> None:
        """Wait until it is true. Raises AssertionError, with what pods and events say, when it is not in time."""
        deadline = time.monotonic() + within
        while not true():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {within} s: {what}\n{self.report(namespace)}")
            time.sleep(_POLL_SECONDS)

    def report(self, namespace: str) -> str:
        """Everything that helps to see why something in the namespace does not come up."""
        parts = [
            self._said(namespace, "get", "pods,pvc,jobs", "-o", "wide"),
            self._said(namespace, "get", "events", "--sort-by=.metadata.creationTimestamp"),
        ]
        logs = ("logs", "--all-containers", "--prefix", f"--tail={_LOG_LINES}")
        for pod in self._said(namespace, "get", "pods", "-o", "name").split():
            parts += [f"--- logs of {pod}", self._said(namespace, *logs, pod)]
            parts += [f"--- logs of {pod} before it was restarted", self._said(namespace, *logs, "--previous", pod)]
        return "\n".join(parts)

    def _said(self, namespace: str, *arguments: str) -> str:
        done = self._run([str(self._kubectl), "-n", namespace, *arguments], "")
        return done.stdout + done.stderr

    def _run(self, command: Sequence[str], stdin: str) -> "subprocess.CompletedProcess[str]":
        homes = {f"HELM_{what}_HOME": str(self.kubeconfig.parent / "helm") for what in ("CACHE", "CONFIG", "DATA")}
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_WITHIN_SECONDS,
            check=False,
            env=os.environ | homes | {"KUBECONFIG": str(self.kubeconfig)},
        )
