"""All tests, in two runs of pytest side by side: while one waits for Kafka, the other computes.

    python -m tests.lanes [what pytest is told besides]

What the one with Kafka says comes at the end, in one piece.
"""

import subprocess
import sys
import tempfile


def main() -> int:
    pytest = [sys.executable, "-m", "pytest", "-q", *sys.argv[1:]]
    with tempfile.TemporaryFile() as said:
        # Where they are is said, since finding all the others takes long.
        these = [*pytest, "-m", "broker", "tests/kafka", "tests/faults"]
        with_broker = subprocess.Popen(these, stdout=said, stderr=subprocess.STDOUT)
        try:
            code = subprocess.call([*pytest, "-m", "not broker"])
            return with_broker.wait() or code
        finally:
            # Interrupted, both have heard of it, and this one takes its workers and its broker along.
            with_broker.wait()
            said.seek(0)
            print(said.read().decode(errors="replace"), end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
