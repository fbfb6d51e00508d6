"""The expressions that more than one panel is about.

What every monitor tells alike is taken once: the maximum by all labels comes before any sum.
"""

PRIORITY = 'priority=~"$priority"'
POOL = 'pool=~"$pool"'
SERVICES = 'job=~"ingest|dispatcher|runner|monitor"'

WAITING = f"max by (priority, pool) (taskandgo_tasks_waiting{{{PRIORITY}, {POOL}}})"
RUNNING = f"max by (priority, pool) (taskandgo_tasks_running{{{PRIORITY}, {POOL}}})"
OLDEST = f"max by (priority, pool) (taskandgo_oldest_waiting_seconds{{{PRIORITY}, {POOL}}})"
RUNNERS = f"max by (pool, isolation, metering) (taskandgo_runners{{{POOL}}})"
SLOTS = f"max by (runner, pool) (taskandgo_runner_slots{{{POOL}}})"
BUSY = f"max by (runner, pool) (taskandgo_runner_slots_busy{{{POOL}}})"

_ENDED = f'rate(taskandgo_tasks_finished_total{{{PRIORITY}, state="%s"}}[$__rate_interval])'
_ALL = _ENDED.replace('state="%s"', 'state=~"succeeded|failed"')
SUCCESS_RATIO = f"sum({_ENDED % 'succeeded'}) / sum({_ALL})"
