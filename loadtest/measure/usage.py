"""CPU time and memory of processes and of the machine, read from /proc.

A process id in, seconds or bytes out. Called by the samplers and by measurements of slices.
"""

import os
import resource
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# fields of /proc/PID/stat behind the name in brackets, proc_pid_stat(5)
PARENT, USER_TICKS, SYSTEM_TICKS = 1, 11, 12
RESET_PEAK = "5"  # proc_pid_clear_refs(5)


def own_cpu_s() -> float:
    """User and system time of this process, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def ended_children_cpu_s() -> float:
    """User and system time of this process's children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_s(pid: int) -> float:
    """User and system time of a process, all threads; to 10 ms."""
    fields = read_stat(pid)
    return (int(fields[USER_TICKS]) + int(fields[SYSTEM_TICKS])) / TICKS_PER_S


def machine_cpu_s() -> float:
    """Time that all cores have spent on processes, the kernel and interrupts; to 10 ms."""
    first_line = Path("/proc/stat").read_text().partition("\n")[0]
    user, nice, system, _idle, _iowait, *interrupts = map(int, first_line.split()[1:9])
    return (user + nice + system + sum(interrupts)) / TICKS_PER_S


def descendants(pid: int) -> list[int]:
    """List all processes below `pid`."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(read_stat(int(folder.name))[PARENT])
        except OSError:
            continue  # it has just ended
    found = [pid]
    for parent in found:  # grows as it goes
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return found[1:]


def process_name(pid: int) -> str:
    """Return the name of a process's program; empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def read_stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def resident_bytes(pid: int) -> int:
    """Memory that a process has in use now; raises OSError or ValueError when it has ended."""
    return read_status_bytes(pid, "VmRSS")


def peak_bytes(pid: int) -> int:
    """Most memory that a process has had in use since `reset_peak`."""
    return read_status_bytes(pid, "VmHWM")


def read_status_bytes(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)
