"""Makes the golden files anew, after a change that is meant: look at what differs before you commit it.

    python -m tests.operator.golden

A pod template that differs rolls every exchange when the operator is upgraded.
"""

from tests.operator.golden.files import FOLDER, text
from tests.operator.manifest_examples import NAMES


def main() -> None:
    for name in NAMES:
        path = FOLDER / f"{name}.yaml"
        path.write_text(text(name))
        print(path)


if __name__ == "__main__":
    main()
