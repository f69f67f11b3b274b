"""Checks of the whole project: what was promised to those who depend on it stays so."""

import inspect
import os
import re
import subprocess
from pathlib import Path

import msgspec
import pytest
import yaml

from services.config import Settings, load_settings
from services.domain import messages as domain_messages
from services.domain.messages import engine, events, operations, orders
from tests.support import golden

ROOT = Path(__file__).parents[1]


def test_golden_bytes_that_exist_decode_to_what_they_were() -> None:
    assert golden.broken() == []


def test_golden_files_are_never_changed_or_removed() -> None:
    assert {path.name: golden.digest(path) for path in golden.files()} == golden.sums()


@pytest.mark.parametrize("message", golden.messages())
def test_golden_file_of_every_message_is_there_and_new(message: str) -> None:
    files = golden.files(message)
    assert files, f"{message} has no golden file: python -m tests.support.golden --write"
    newest = golden.load(files[-1])
    assert newest == golden.golden(message), f"{message} has changed: python -m tests.support.golden --write"


@pytest.mark.parametrize("topic", golden.UNIONS)
def test_schema_of_every_topic_is_new(topic: str) -> None:
    written = golden.schema_path(topic).read_bytes()
    assert written == golden.schema_bytes(topic), "run python -m tests.support.golden --write"


def test_every_tagged_message_belongs_to_a_topic() -> None:
    tagged = [
        name
        for module in (engine, events, operations, orders)
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, msgspec.Struct) and kind.__struct_config__.tag is not None
    ]
    assert set(tagged) - set(golden.messages()) == set()
    assert set(tagged) - set(domain_messages.__all__) == set()


def test_golden_difference_sees_changes_and_not_additions() -> None:
    old = {"a": 1, "b": [{"c": "x"}]}
    assert golden.difference(old, {"a": 1, "b": [{"c": "x", "new": 0}], "new": 0}) == ""
    assert golden.difference(old, {"a": 1, "b": [{"c": "y"}]}) == "b[0].c was 'x', is 'y'"
    assert golden.difference(old, {"a": 1}) == "b was [{'c': 'x'}], is None"


def test_readme_shows_every_setting_with_its_default(tmp_path: Path) -> None:
    shown = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    (tmp_path / "exchange.yaml").write_text(shown[1], encoding="utf-8")
    settings = load_settings(tmp_path / "exchange.yaml")
    assert msgspec.structs.replace(settings, assets=[], symbols=[]) == Settings()
    written = yaml.safe_load(shown[1])
    sections = {field.encode_name: field.type for field in msgspec.structs.fields(Settings)}
    assert written.keys() == sections.keys()
    for name, kind in sections.items():
        entry, struct = (
            (written[name][0], kind.__args__[0]) if isinstance(written[name], list) else (written[name], kind)
        )
        assert entry.keys() == {field.encode_name for field in msgspec.structs.fields(struct)}, name


def test_ci_runs_what_a_developer_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text()


def test_makefile_without_a_python_that_is_new_enough_says_so(tmp_path: Path) -> None:
    for name in ("python", "python3", *(f"python3.{minor}" for minor in range(11, 15))):
        (tmp_path / name).write_text("#!/bin/sh\n[ \"$1\" = --version ] && echo 'Python 3.8.1' && exit\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    answer = subprocess.run(
        ["make", "-f", ROOT / "Makefile", ".venv/bin/python"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode != 0
    assert "The exchange needs Python 3.11 or newer" in answer.stderr
    assert "Python 3.8.1" in answer.stderr
