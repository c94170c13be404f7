# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Daemons by pid file. A pid file holds pid, start time and boot id, so that a pid that was given to
# another process since is never taken for ours.

process_start_time()
{
	local stat fields
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	# The second field is the program's name in parentheses and may hold anything.
	read -ra fields <<<"${stat##*) }"
	[[ ${fields[0]} != Z ]] || return 1
	printf '%s' "${fields[19]}"
}

pid_file()
{
	printf '%s/run/%s.pid' "$DIR" "$1"
}

# daemon_pid NAME: its pid; false if it does not run.
daemon_pid()
{
	local pid start boot
	read -r pid start boot 2>/dev/null <"$(pid_file "$1")" || return 1
	[[ $pid =~ ^[0-9]+$ && $boot == "$(</proc/sys/kernel/random/boot_id)" ]] || return 1
	[[ $(process_start_time "$pid") == "$start" ]] || return 1
	printf '%s' "$pid"
}

daemon_runs()
{
	daemon_pid "$1" >/dev/null
}

# True if it was started and not stopped since, whether it still runs or not.
daemon_was_started()
{
	[[ -e $(pid_file "$1") ]]
}

log_file()
{
	printf '%s/log/%s.log' "$DIR" "$1"
}

# Appends; a log that has grown past 16 MiB makes room at the next start and is kept once.
rotate_log()
{
	local file size
	file=$(log_file "$1")
	size=$(stat -c %s "$file" 2>/dev/null || printf 0)
	((size < 16 << 20)) || mv -f "$file" "$file.1"
}

close_descriptors()
{
	local descriptor
	for descriptor in /proc/self/fd/*; do
		descriptor=${descriptor##*/}
		((descriptor <= 2)) || eval "exec $descriptor>&-"
	done
}

# daemon_start NAME COMMAND...: in a session of its own, without the caller's descriptors. The child
# writes its pid file before it becomes the program, so that no moment leaves a daemon unknown.
daemon_start()
{
	local name=$1 self
	shift
	rotate_log "$name"
	rm -f "$(pid_file "$name")"
	(
		self=$BASHPID
		trap - EXIT INT TERM HUP
		exec </dev/null >>"$(log_file "$name")" 2>&1
		printf '%s %s %s\n' "$self" "$(process_start_time "$self")" \
			"$(</proc/sys/kernel/random/boot_id)" >"$(pid_file "$name").new"
		mv -f "$(pid_file "$name").new" "$(pid_file "$name")"
		close_descriptors
		ulimit -Sn "$(ulimit -Hn)" 2>/dev/null || true
		cd /
		exec setsid "$@"
	) &
	wait_until 10 daemon_was_started "$name"
}

daemon_stopped()
{
	! daemon_runs "$1"
}

# daemon_stop NAME SECONDS: SIGTERM and a bounded wait; false if it still runs.
daemon_stop()
{
	daemon_signal "$1" TERM
	daemon_wait_end "$1" "$2"
}

daemon_signal()
{
	local pid
	if pid=$(daemon_pid "$1"); then
		kill "-$2" "$pid" 2>/dev/null || true
	fi
}

daemon_wait_end()
{
	wait_until "$2" daemon_stopped "$1" || return 1
	rm -f "$(pid_file "$1")"
}

# wait_until SECONDS COMMAND...: polls; false after the deadline.
wait_until()
{
	local deadline=$((SECONDS + $1 * ${HEXKV_PATIENCE:-1} + 1))
	shift
	until "$@"; do
		((SECONDS < deadline)) || return 1
		sleep 0.02
	done
}

# The last thing a daemon said that explains why it is not there.
last_words()
{
	local file words
	file=$(log_file "$1")
	words=$(grep -vE 'level=(info|debug)' "$file" 2>/dev/null | tail -n 1) || true
	printf '%s' "${words:-$(tail -n 1 "$file" 2>/dev/null)}"
}
