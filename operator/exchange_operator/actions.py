"""What a pass sees of the cluster, and what it does to it. `plan` and `deletion` decide, `cluster` carries out."""

from collections.abc import Mapping
from typing import NamedTuple

from exchange_operator.names import Key, Manifest


class Observed(NamedTuple):
    """Part of a namespace, as it was at about one moment.

    objects: everything with our instance label, and whatever else has a name that we want.
    pods: those with our instance label.
    """

    objects: Mapping[Key, Manifest]
    pods: tuple[Manifest, ...] = ()


class Apply(NamedTuple):
    """Write an object, by server-side apply.

    drift: somebody else changed it. Else it is new, or it was never written like this.
    """

    manifest: Manifest
    why: str
    drift: bool = False


class Delete(NamedTuple):
    """Delete an object. orphan: what it controls stays, such as the pods of a StatefulSet that is made anew."""

    key: Key
    why: str
    orphan: bool = False


class DeletePod(NamedTuple):
    """Delete a pod, so that its controller makes a new one."""

    name: str
    why: str


class CreateKeys(NamedTuple):
    """Make the Secret with the exchange's own keys, unless there is one: never write over it."""

    name: str


class GrowVolume(NamedTuple):
    """Ask a PersistentVolumeClaim for more. A storage class may refuse; the other actions do not depend on it.

    size: a quantity such as 20Gi.
    """

    claim: str
    size: str


Action = Apply | Delete | DeletePod | CreateKeys | GrowVolume


class Plan(NamedTuple):
    """What to do now, in this order.

    waiting_for: the stage that is not ready, or is being changed, or `plan.FOUNDATION`: nothing behind it is changed.
    reason: why, in a sentence. Both are empty when all is as wanted. broken: waiting alone will not help.
    """

    actions: tuple[Action, ...]
    waiting_for: str = ""
    reason: str = ""
    broken: bool = False

    @property
    def converged(self) -> bool:
        """Whether all is as wanted."""
        return not self.actions and not self.waiting_for
