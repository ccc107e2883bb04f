"""A storm: many clients run containers while the processes that serve them are killed.

Words: a *life* is what one container shall do, and the codes with which it and its execs shall end; a *fault* is one
SIGKILL: to whom, and at which point of its program or at which moment. A *plan* is all lives and faults of a run, made
of a seed. The *scene* is the daemon with its directories; it tells clients when it can be reached. A container is *hit*
when the shim that watches over it was killed: 137 is an honest end then.

    .venv/bin/python -m tests.faults.storm --runs 30        # other seeds each time; --seed repeats one
"""
