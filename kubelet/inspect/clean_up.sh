cleanup() {                 # in reverse: processes, interface, mounts, files, cgroups
    trap - EXIT; trap '' INT TERM; set +e
    for procs in /sys/fs/cgroup{,/*}/"$NAME"/container/cgroup.procs; do
        [ -e "$procs" ] && xargs -r kill -9 < "$procs" 2>/dev/null
    done
    [ -n "$CONTAINER" ] && kill -9 "$CONTAINER" 2>/dev/null
    [ -n "$SANDBOX" ] && kill -9 "$SANDBOX" 2>/dev/null
    [ -n "$HOLDER" ] && kill -9 "$HOLDER" 2>/dev/null
    wait 2>/dev/null
    for link in "$HOST_END" "$IFB"; do
        [ "$link" = none ] || ip link delete "$link" 2>/dev/null
    done
    command -v nft >/dev/null && nft delete table ip "$NAME" 2>/dev/null
    umount -R "$RUN" 2>/dev/null; umount -R "$RUN" 2>/dev/null
    rm -rf --one-file-system "$RUN"
    for directory in /sys/fs/cgroup{,/*}/"$NAME"{/container,}; do
        for _ in $(seq 50); do [ -d "$directory" ] && ! rmdir "$directory" && sleep 0.1 || break; done
    done 2>/dev/null
}
trap cleanup EXIT; trap 'exit 130' INT; trap 'exit 143' TERM

await() {                   # until the command behind `unshare` runs; SANDBOX is its process
    for _ in $(seq 1000); do
        SANDBOX=$1
        [ "${2-}" != fork ] || read -r SANDBOX _ < "/proc/$1/task/$1/children" || :
        [ "$(cat "/proc/${SANDBOX:-0}/comm" 2>/dev/null)" != sleep ] || return 0
        sleep 0.01
    done
    echo "the sandbox does not come up" >&2; exit 1
}
mac_of() {                  # a hardware address that goes with an address
    printf '0a:58:%02x:%02x:%02x:%02x\n' $(echo "${1%/*}" | tr . ' ')
}

mount --bind "$RUN" "$RUN"; mount --make-private "$RUN"    # nothing below it is seen elsewhere
mkdir -p "$RUN/tree"; mkdir -m 1777 "$RUN/shm"
mount -t tmpfs -o nosuid,nodev,noexec,mode=1777 shm "$RUN/shm"
