"""`make chaos`: the services under faults, and whether they kept their promises; exits with 1 if they did not."""

import argparse
import asyncio
import logging
import random
import sys

import structlog

from tests.chaos.campaign import Plan, run_campaign
from tests.chaos.faults import FAULTS


def main() -> None:
    """Run one campaign as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="replays a campaign; else random")
    parser.add_argument("--minutes", type=float, default=3.0, help="how long faults are injected")
    parser.add_argument("--tasks", type=float, default=4.0, metavar="PER_SECOND", help="how many tasks are submitted")
    parser.add_argument("--faults", default=",".join(FAULTS), help="some of: %(default)s")
    parser.add_argument("--keep", metavar="FOLDER", help="put the logs of the services here")
    asked = parser.parse_args()
    faults = tuple(asked.faults.split(","))
    if unknown := set(faults) - FAULTS.keys():
        parser.error(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")
    # What the listener's connection goes through is no news here.
    logging.disable()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print(f"seed {asked.seed}")
    verdict = asyncio.run(run_campaign(Plan(asked.seed, asked.minutes * 60, asked.tasks, faults, asked.keep)))
    verdict.show()
    sys.exit(not verdict.kept)


if __name__ == "__main__":
    main()
