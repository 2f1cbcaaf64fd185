"""The fault matrix: ``make faults``, or ``python -m tests.faults [--trials N] [KIND…]``.

A row is a fault: how long the receiver took to run again once the fault was gone, how many of its
own samples were lost, how many the two receivers beside it lost (none), and what it said.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice

from .fault import Fault, Outcome
from .matrix import FAULTS, trial

HEAD = (
    f"{'receiver':<10} {'fault':<46} {'trials':>6} {'recovery, s':>15} "
    f"{'lost':>9} {'others':>6} {'asked':>6}"
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="default: all")
    parser.add_argument("--trials", type=int, default=3, help="of each fault (default 3)")
    parser.add_argument("--only", help="faults whose name holds this")
    parser.add_argument("--verbose", action="store_true", help="show the journal")
    parser.add_argument("--jobs", type=int, default=4, help="trials at once (default 4)")
    options = parser.parse_args()
    level = "info" if options.verbose else "error"
    print("recovery: from the fault's end to running, median (most); lost: the receiver's own,")
    print("median; others: lost by the two beside it; asked: pause that the source asked for, s")
    print(HEAD)
    wanted = [
        fault
        for fault in FAULTS
        if (not options.kinds or fault.kind in options.kinds)
        and (not options.only or options.only in fault.name)
    ]
    numbers = [FAULTS.index(fault) for fault in wanted for _ in range(options.trials)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        trials = pool.map(partial(trial, level=level), numbers)
        recovered = [show(fault, list(islice(trials, options.trials))) for fault in wanted]
    print(f"{sum(recovered)} of {len(wanted)} faults recovered from in every trial")
    return int(not all(recovered))


def show(fault: Fault, trials: list[Outcome | str]) -> bool:
    """Print a fault's row; whether all of its trials went as they must."""
    outcomes = [t for t in trials if isinstance(t, Outcome)]
    failures = [t for t in trials if isinstance(t, str)]
    others = sum(outcome.others_lost for outcome in outcomes)
    verdict = f"FAILED in {len(failures)}" if failures else "OTHERS LOST" if others else ""
    print(f"{fault.kind:<10} {fault.name:<46} {len(outcomes):>6} {_cells(outcomes)}  {verdict}")
    if outcomes and outcomes[-1].said:
        print(f"{'':>11}↳ {outcomes[-1].said[:180]}")
    if failures:
        print(failures[-1])
    sys.stdout.flush()
    return not verdict


def _cells(outcomes: list[Outcome]) -> str:
    if not outcomes:
        return f"{'-':>15} {'-':>9} {'-':>6} {'-':>6}"
    recoveries_s = [outcome.recovery_s for outcome in outcomes]
    recovery = f"{statistics.median(recoveries_s):.2f} ({max(recoveries_s):.2f})"
    lost = statistics.median(outcome.count.lost for outcome in outcomes)
    others = sum(outcome.others_lost for outcome in outcomes)
    asked_s = max(outcome.asked_pause_s for outcome in outcomes)
    return f"{recovery:>15} {lost:>9,.0f} {others:>6} {asked_s:>6.0f}"


if __name__ == "__main__":
    sys.exit(main())
