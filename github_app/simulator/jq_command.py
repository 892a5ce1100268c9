"""The command `jq` of the simulated image: `jq [-r] PROGRAM [FILE]`, by the same library as the real one."""

import json
import sys
from pathlib import Path

import jq


def library() -> str:
    """Where the library lies."""
    return str(jq.__file__)


def main() -> int:
    """Run one program over the values of a file or of the standard input."""
    arguments = [argument for argument in sys.argv[1:] if argument != "-r"]
    program, *files = arguments
    text = Path(files[0]).read_text(encoding="utf-8") if files else sys.stdin.read()
    try:
        for value in jq.compile(program).input_text(text):
            raw = "-r" in sys.argv and isinstance(value, str)
            sys.stdout.write(f"{value if raw else json.dumps(value)}\n")
    except ValueError as error:
        sys.stderr.write(f"jq: error: {error}\n")
        return 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
