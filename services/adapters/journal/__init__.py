"""The journal of a core: every input frame on the disk before its effects are published, and snapshots."""
