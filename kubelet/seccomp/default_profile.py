"""RuntimeDefault: what programs need, by subject, and what a capability adds. Data only.

Room kubelet; compiled by __init__.py. It allows what containerd's and Docker's default profiles
allow; everything else fails with EPERM, calls newer than this list with ENOSYS, so that a libc
falls back to an older call. Left out on purpose: io_uring (a door around every filter), keys,
userfaultfd, kexec, swap, quotas, and all that makes namespaces or mounts.
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

_FILES = """
access cachestat chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3
faccessat faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown
fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr file_getattr file_setattr flistxattr flock
fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64
futimesat getcwd getdents getdents64 getxattr getxattrat ioctl lchown lchown32 lgetxattr link linkat
listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat
mknod mknodat name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2 pwrite64
pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename renameat
renameat2 rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statx
symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime
utimensat utimensat_time64 utimes vmsplice write writev
"""
_WAITING = """
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
epoll_wait_old eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1
inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup
io_submit _newselect pause pipe pipe2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select
signalfd signalfd4
"""
_MEMORY = """
brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap
mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect
process_mrelease remap_file_pages
"""
_PROCESSES = """
capget capset execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait
futex_waitv futex_wake getcpu getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid getresuid32
getrlimit get_robust_list getrusage getsid get_thread_area gettid getuid getuid32 ioprio_get
ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self pidfd_open
pidfd_send_signal prctl prlimit64 process_vm_readv process_vm_writev ptrace restart_syscall rseq
rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam
sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval
sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler
sched_yield seccomp setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32
setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid
setreuid32 setrlimit set_robust_list setsid set_thread_area set_tid_address setuid setuid32
sigaltstack sigprocmask sigreturn tgkill tkill ugetrlimit vfork wait4 waitid waitpid
"""
_TALKING = """
accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr mq_notify
mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl
msgget msgrcv msgsnd recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop semtimedop
semtimedop_time64 sendmmsg sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown
socketcall socketpair
"""
_TIME = """
adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer
time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
times
"""
_MACHINE = "getrandom sysinfo uname arch_prctl modify_ldt"

_WITH_CAPABILITY = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick listmount lookup_dcookie mount
        mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname
        sethostname setns statmount syslog umount umount2 unshare
    """,
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module query_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYSLOG": "syslog",
}

_NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW… flag
_AF_VSOCK = 40  # talks to the hypervisor, past every network namespace
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)  # Linux, 32 bits, UNAME26, both, "which?"


def _argument(index: int, operator: str, value: int, value_two: int = 0) -> Object:
    return {"index": index, "op": f"SCMP_CMP_{operator}", "value": value, "valueTwo": value_two}


def _allow(names: str, args: list[Object] | None = None, **conditions: Object) -> Object:
    action: Object = {"names": names.split(), "action": "SCMP_ACT_ALLOW", "args": args or []}
    return action | conditions


_NO_ADMIN = {"caps": ["CAP_SYS_ADMIN"]}
PROFILE: Object = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"],
    "syscalls": [
        *map(_allow, (_FILES, _WAITING, _MEMORY, _PROCESSES, _TALKING, _TIME, _MACHINE)),
        _allow("socket", [_argument(0, "NE", _AF_VSOCK)]),
        *(_allow("personality", [_argument(0, "EQ", value)]) for value in _PERSONALITIES),
        *(
            _allow(names, includes={"caps": [capability]})
            for capability, names in _WITH_CAPABILITY.items()
        ),
        _allow("clone", [_argument(0, "MASKED_EQ", _NEW_NAMESPACES, 0)], excludes=_NO_ADMIN),
        {  # its flags lie in memory, where no filter can look: libc then falls back to clone
            "names": ["clone3"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 38,
            "excludes": _NO_ADMIN,
        },
    ],
}
