"""docs/operations, as somebody reads it who looks after an exchange: its commands are copied and run."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.cluster import tools

_ROOT: Final = Path(__file__).parents[2]
_PAGES: Final = _ROOT / "docs" / "operations"
_WITHIN_SECONDS: Final = 600.0
_FENCE: Final = re.compile(r"^( *)```\w*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Handbook:
    """The pages, and who follows them, in bash.

    words: what the reader writes where the pages have something else, such as the name of the own Exchange; more may
    be added. folder: where the reader stands, as if it were the project's.
    """

    def __init__(self, kubeconfig: Path, folder: Path, begin: str, words: Mapping[str, str]) -> None:
        """begin: what the reader has said to the shell before, as the pages tell."""
        self.words = dict(words)
        self._begin = begin
        self._folder = folder
        (folder / "docs").symlink_to(_ROOT / "docs")
        (folder / "kubectl").symlink_to(tools.kubernetes("kubectl"))
        own = {"KUBECONFIG": str(kubeconfig), "PATH": f"{folder}:{os.environ['PATH']}"}
        self._environment = os.environ | own

    def block(self, page: str, known_by: str) -> str:
        """The only fenced block of a page that has this text, with the reader's words."""
        blocks = [text for text in _blocks(page) if known_by in text]
        assert len(blocks) == 1, f"{page} has {len(blocks)} blocks with {known_by!r}"
        text = blocks[0]
        for word, instead in self.words.items():
            text = text.replace(word, instead)
        return text

    def write(self, name: str, text: str) -> None:
        """A file where the reader stands."""
        (self._folder / name).write_text(text)

    def follow(self, page: str, known_by: str) -> str:
        """Run the commands of that block, and give what they printed. Raises AssertionError when one fails."""
        script = "\n".join(["set -euo pipefail", self._begin, self.block(page, known_by)])
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_WITHIN_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{script}\nended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout


def _blocks(page: str) -> list[str]:
    found = _FENCE.findall((_PAGES / page).read_text())
    return ["\n".join(line.removeprefix(indentation) for line in text.splitlines()) for indentation, text in found]
