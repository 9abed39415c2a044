"""Runs a command that dies with the process that started it, however that one ends (kill -9 included).

`leashed(command)` gives the command line to start instead. It runs this file as a script: a few milliseconds that
ask the kernel for the signal and then become the command. The signal comes when the starting *thread* ends, so
start leashed commands from a thread that lives as long as they should. Without Linux the command just runs.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def leashed(command: list[str]) -> list[str]:
    """The command line that runs `command` on a leash held by this process."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main(parent: int, command: list[str]) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the process that wanted this one is gone already")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
