"""The long run: `python -m tests.fuzzing SECONDS [TARGET ...]`, the time shared by the targets, one after the other.

What atheris finds on the way is kept in `.fuzzing/<target>/` and taken up by the next run. An input that fails is left
there as `crash-…`, `timeout-…` or `oom-…`; with its repair it belongs into the corpus.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

NAMES = ("page", "envelope", "symbols", "halts", "range", "segment", "archive", "sheet")
ROOT = Path(__file__).parent.parent.parent
# What no mutation of single bytes finds, in libFuzzer's notation.
TOKENS = (
    *('"ret"', '"msg"', '"error_msg"', '"data"', '"kline_list"', '"timestamp"', '"volume"', '"turnover"', '"code"'),
    *('"tick_list"', '"static_info_list"', '"bids"', '"price"', '"haltDate"', '"success"', '"totalCount"'),
    *("null", "true", "{}", "[]", '""', "NaN", "1e999", "-0", "1e-400", "0.12345678901234567", "9223372036854775808"),
    *("Code", "Name", "Transaction hours (GMT)", "summer", "winter", "Sun 21:00", "break", "24/7", ".HK", "USDT"),
    *("9999-12-31", "0001-01-01", "/", "..", "mo", "min", "ytd", "max", "T00:00", "+23:59", "ARROW1", "\\xff\\xff"),
)


def main() -> int:
    """Run what the command line asks for; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("seconds", type=float)
    parser.add_argument("targets", nargs="*", default=list(NAMES), metavar="TARGET")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--kept", type=Path, default=ROOT / ".fuzzing", help="where inputs are kept")
    asked = parser.parse_args()
    kept = asked.kept.resolve()
    kept.mkdir(exist_ok=True)
    tokens = [token.replace('"', '\\"') for token in TOKENS]
    (kept / "tokens.dict").write_text("".join(f'"{token}"\n' for token in tokens))
    failed = False
    for name in asked.targets:
        (kept / name).mkdir(exist_ok=True)
        options = {
            "max_total_time": max(1, round(asked.seconds / len(asked.targets))),
            "seed": asked.seed,
            "max_len": 1 << 14,
            "timeout": 20,
            "rss_limit_mb": 4096,
            "dict": kept / "tokens.dict",
            "artifact_prefix": f"{kept / name}-",
            "print_final_stats": 1,
        }
        flags = [f"-{option}={value}" for option, value in options.items()]
        # A process each: what one run crashes or leaks is no other's.
        target = [sys.executable, "-c", f"from tests.fuzzing.__main__ import fuzz; fuzz({name!r})"]
        corpus = [str(kept / name), str(ROOT / "tests" / "fuzzing" / "corpus" / name)]
        failed |= subprocess.run([*target, *flags, *corpus], cwd=ROOT, check=False).returncode != 0
    return int(failed)


def fuzz(name: str) -> None:
    """Let atheris call one target until its flags say stop; it ends the process."""
    import atheris  # noqa: PLC0415  # not on every platform

    with atheris.instrument_imports(include=["alltick_frames"]):
        from tests.fuzzing.targets import TARGETS  # noqa: PLC0415  # so that what it imports is instrumented

    # The first conversion makes pyarrow import pandas: not while an input's time is counted.
    TARGETS[name](b"")
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
