"""Workers that are killed: schedules of deaths, and what must hold after each.

`worker` is the process that dies, `schedule` kills it, starts it again and counts.
"""
