set -euo pipefail
umask 0
take() {                    # open_tree(2): the mounts there and below, once more, out of sight
    if [ -d "$1" ]; then mkdir -p "$2"; else : > "$2"; fi
    mount --rbind -- "$1" "$2"
}
read_only() {               # mount_setattr(2) with MOUNT_ATTR_RDONLY; "all": with AT_RECURSIVE
    mount -o remount,bind,ro "$1"
    [ "${2-}" != all ] || findmnt -Rrn -o TARGET "$1" | tail -n +2 | while read -r below; do
        mount -o remount,bind,ro "$(printf %b "$below")"
    done
}
give() {                    # move_mount(2), never by a link out of the root
    [ "$(realpath -m -- "$2")" = "$(realpath -m -- "$ROOT")${2#"$ROOT"}" ] \
        || { echo "$2 leads out of the container's root" >&2; exit 1; }
    mount -n --move -- "$1" "$2"   # -n: the list in /run/mount is the host's
}
