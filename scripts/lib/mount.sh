# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The mount point of a cluster. The kernel's table is asked what is mounted, never the file system:
# stat on a dead or stuck mount errs or hangs.

fuse_is_there()
{
	[[ -c /dev/fuse && -r /dev/fuse && -w /dev/fuse ]]
}

# mounted_type PATH: the type of the file system mounted there last; false if there is none.
mounted_type()
{
	local line fields path found=
	while read -r line; do
		read -ra fields <<<"${line%% - *}"
		path=$(printf '%b' "${fields[4]}")
		[[ $path != "$1" ]] || found=${line##* - }
	done </proc/self/mountinfo
	[[ -n $found ]] || return 1
	printf '%s' "${found%% *}"
}

is_mounted()
{
	mounted_type "$1" >/dev/null
}

is_not_mounted()
{
	! is_mounted "$1"
}

# A mount of a hexkv-fs that is gone: every access says ENOTCONN.
mount_is_dead()
{
	[[ $(mounted_type "$1") == fuse* ]] || return 1
	[[ $(LC_ALL=C timeout 5 stat -f -- "$1" 2>&1) == *'endpoint is not connected'* ]]
}

unmount_lazily()
{
	fusermount3 -u -z -- "$1" 2>/dev/null || umount -l -- "$1" 2>/dev/null || true
	wait_until 10 is_not_mounted "$1"
}

# mount_point_prepare: MOUNT is a directory that may be mounted on; takes off our own dead mount.
mount_point_prepare()
{
	if is_mounted "$MOUNT"; then
		mount_is_dead "$MOUNT" ||
			die "$MOUNT is a mount point of another file system; choose another with --mount"
		say "taking off the dead mount on $MOUNT"
		unmount_lazily "$MOUNT" || die "$MOUNT can not be unmounted"
	fi
	mkdir -p -- "$MOUNT" 2>/dev/null || die "the directory $MOUNT can not be made"
	[[ -z $(ls -A -- "$MOUNT") ]] ||
		die "$MOUNT is not empty and would be hidden; choose another directory with --mount"
}

# processes_below PATH: 'name (pid N)' for each process that has something open there.
processes_below()
{
	local directory link target
	for directory in /proc/[0-9]*; do
		for link in "$directory"/cwd "$directory"/root "$directory"/fd/*; do
			target=$(readlink "$link" 2>/dev/null) || continue
			if [[ $target == "$1" || $target == "$1"/* ]]; then
				printf '%s (pid %s)\n' "$(cat "$directory/comm")" "${directory#/proc/}"
				continue 2
			fi
		done
		# A mapped file may have been closed since.
		if grep -qF " $1/" "$directory/maps" 2>/dev/null; then
			printf '%s (pid %s)\n' "$(cat "$directory/comm")" "${directory#/proc/}"
		fi
	done
}

# mount_stop FORCE: unmounts, which flushes, and waits for the program. A busy mount stays unless
# FORCE is 1.
mount_stop()
{
	local users
	if is_mounted "$MOUNT" && daemon_was_started mount; then
		if daemon_stopped mount; then
			unmount_lazily "$MOUNT" || die "$MOUNT can not be unmounted"
		elif ! fusermount3 -u -- "$MOUNT" 2>"$DIR/log/unmount.log"; then
			users=$(processes_below "$MOUNT" | paste -sd, | sed 's/,/, /g')
			[[ $1 == 1 ]] || die "$MOUNT is in use${users:+ by $users};" \
				"end that first, or use 'down --force'"
			unmount_lazily "$MOUNT" || die "$MOUNT can not be unmounted"
		fi
	fi
	mount_program_stop "$1"
}

# What was written is on its way to the router until the program has ended.
mount_program_stop()
{
	daemon_was_started mount || return 0
	# An unmounted program ends by itself; the signal is for one that never mounted.
	wait_until 1 daemon_stopped mount || daemon_signal mount TERM
	daemon_wait_end mount 60 && return 0
	[[ $1 == 1 ]] || die "hexkv-fs has not ended after 60 s, see $(log_file mount);" \
		"wait, or use 'down --force'"
	daemon_signal mount KILL
	daemon_wait_end mount 10 || die "hexkv-fs can not be ended"
}
