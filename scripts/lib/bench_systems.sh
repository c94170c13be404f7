# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What scripts/bench measures. Each system NAME has functions NAME_start, NAME_mount, NAME_unmount,
# NAME_fill FIRST COUNT BYTES and NAME_empty FIRST COUNT (past the mount, untimed); curl has no mount.
# SERVED[NAME] is where its server keeps its files, if that can be seen. Names come from numbers, the
# same everywhere (tests/bench/names.h).

declare -A SERVED=()

systems_start()
{
	local name kept=()
	trap systems_end EXIT
	chmod 711 "$TMP" # davfs2 runs as a user of its own
	RAM=$TMP/ram
	mkdir "$RAM"
	mount -t tmpfs -o mode=711 hexkv-bench "$RAM" || fail 'tmpfs can not be mounted here'
	SMALL_DISKS+=("$RAM")
	need_fuse
	cluster_start 2
	for name in "${SYSTEMS[@]}"; do
		"${name}_start" || continue
		kept+=("$name")
	done
	SYSTEMS=("${kept[@]}")
}

bench_files()
{
	"$BUILD/tests/bench/bench-files" "$@"
}

# drop_caches: what is stored is read from the disk again; what is in tmpfs stays.
drop_caches()
{
	sync -f "$TMP"
	echo 3 2>/dev/null >/proc/sys/vm/drop_caches || say 'the page cache can not be dropped here'
}

# mount_fresh SYSTEM: nothing is in any cache; MNT is the mount point, and MOUNT_MS
# says what mounting took.
mount_fresh()
{
	local started
	MNT=$TMP/$1
	mkdir -p "$MNT"
	! is_mounted "$MNT" || "$1_unmount"
	drop_caches
	started=$EPOCHREALTIME
	"$1_mount"
	# shellcheck disable=SC2034 # for rows
	MOUNT_MS=$(((${EPOCHREALTIME/./} - ${started/./}) / 1000))
}

# ---- hexkv ---------------------------------------------------------------------------------------

hexkv_start()
{
	:
}

hexkv_mount()
{
	mount_start hexkv
}

hexkv_unmount()
{
	mount_stop "$MNT"
}

hexkv_fill()
{
	"$BUILD/tests/bench/bench-load" --first "$1" --count "$2" --value-bytes "$3" \
		"${ROUTER#http://}" >/dev/null
}

hexkv_empty()
{
	"$BUILD/tests/bench/bench-load" --delete --first "$1" --count "$2" "${ROUTER#http://}" \
		>/dev/null
}

# cpu_ticks PROCESS...: what they have used of the processor.
cpu_ticks()
{
	local name fields sum=0
	for name in "$@"; do
		read -ra fields < <(sed 's/.*) //' "/proc/${PROCESSES[$name]}/stat")
		sum=$((sum + fields[11] + fields[12]))
	done
	printf '%d' "$sum"
}

# All so far: requests that the router had, but for those of administration, then the processor time
# of mount, router and nodes.
hexkv_costs()
{
	curl -sS "$ROUTER/metrics" | awk '/^hexkv_router_requests_total/ && !/"admin"/ { n += $NF }
		END { printf "%d ", n }'
	printf '%d %d %d' "$(cpu_ticks fs-hexkv)" "$(cpu_ticks router)" \
		"$(cpu_ticks "${NODE_NAMES[@]}")"
}

# ---- files in a directory, which peers serve -----------------------------------------------------

# fill_directory DIRECTORY FIRST COUNT BYTES
fill_directory()
{
	bench_files create --first "$2" --count "$3" --value-bytes "$4" "$1" >/dev/null
}

# empty_directory DIRECTORY FIRST COUNT
empty_directory()
{
	bench_files unlink --first "$2" --count "$3" "$1" >/dev/null
}

# ---- passthrough: libfuse's own example over tmpfs -----------------------------------------------

PASSTHROUGH_SOURCE=/usr/share/doc/libfuse3-dev/examples/passthrough_ll.c

passthrough_start()
{
	local flags
	if [[ ! -e $PASSTHROUGH_SOURCE ]]; then
		say "$PASSTHROUGH_SOURCE is not there (documentation was left out of this machine):" \
			'no passthrough in the table'
		return 1
	fi
	read -ra flags <<<"$(pkg-config fuse3 --cflags --libs)"
	cc -O2 -w -o "$TMP/passthrough_ll" "$PASSTHROUGH_SOURCE" "${flags[@]}" ||
		fail 'the passthrough does not compile'
	SERVED[passthrough]=$RAM/passthrough
	mkdir "${SERVED[passthrough]}"
}

passthrough_mount()
{
	start_process passthrough "$TMP/passthrough_ll" -f -o "source=${SERVED[passthrough]}" "$MNT"
	expect_within 10 is_mounted "$MNT"
}

passthrough_unmount()
{
	fusermount3 -u "$MNT"
	finish_process passthrough
}

passthrough_fill()
{
	fill_directory "${SERVED[passthrough]}" "$@"
}

passthrough_empty()
{
	empty_directory "${SERVED[passthrough]}" "$@"
}

# ---- davfs2 over nginx ---------------------------------------------------------------------------

nginx_configuration()
{
	cat <<-TEXT
	load_module /usr/lib/nginx/modules/ngx_http_dav_ext_module.so;
	user root;
	daemon off;
	worker_processes auto;
	pid $TMP/nginx.pid;
	error_log stderr;
	events { worker_connections 1024; }
	http {
		access_log off;
		sendfile on;
		keepalive_requests 1000000000;
		client_max_body_size 0;
		client_body_temp_path $TMP/nginx-body;
		server {
			listen 127.0.0.1:$1;
			root ${SERVED[davfs2]};
			dav_methods PUT DELETE MKCOL COPY MOVE;
			dav_ext_methods PROPFIND OPTIONS;
		}
	}
	TEXT
}

# What helps it is set: no locks, uploads at once, room for everything in its cache and tables.
davfs2_configuration()
{
	cat <<-TEXT
	use_locks 0
	delay_upload 0
	buf_size 256
	ignore_dav_header 1
	ask_auth 0
	cache_size 8192
	cache_dir $TMP/davfs2-cache
	table_size 65536
	TEXT
}

davfs2_start()
{
	SERVED[davfs2]=$TMP/nginx
	mkdir "${SERVED[davfs2]}"
	free_ports
	DAV=http://127.0.0.1:$PORT_BASE/
	nginx_configuration "$PORT_BASE" >"$TMP/nginx.conf"
	davfs2_configuration >"$TMP/davfs2.conf"
	chmod 600 "$TMP/davfs2.conf"
	start_process nginx nginx -p "$TMP" -e stderr -c "$TMP/nginx.conf"
	expect_within 10 port_is_taken "$PORT_BASE"
}

davfs2_mount()
{
	rm -rf "$TMP/davfs2-cache"
	install -d -m 775 -g davfs2 "$TMP/davfs2-cache"
	mount -t davfs -o "conf=$TMP/davfs2.conf" "$DAV" "$MNT" || fail 'davfs2 can not be mounted'
	# Its program is not ours to wait for, but to see gone.
	read -r DAVFS2_PID <"/var/run/mount.davfs/$(sed 's|^/||; s|/|-|g' <<<"$MNT").pid"
}

davfs2_has_ended()
{
	[[ ! -e /proc/$DAVFS2_PID ]]
}

# It writes to its cache until it has ended, so the directory can only be removed after that.
systems_end()
{
	local status=$?
	set +e
	if [[ -n ${DAVFS2_PID:-} ]]; then
		umount -i "$TMP/davfs2" || umount -l "$TMP/davfs2"
		wait_until 20 davfs2_has_ended || kill -KILL "$DAVFS2_PID"
	fi
	(exit "$status")
	finish
} 2>/dev/null

davfs2_unmount()
{
	umount -i "$MNT" # its own umount waits in steps of three seconds
	expect_within 60 davfs2_has_ended
	DAVFS2_PID=
}

davfs2_fill()
{
	fill_directory "${SERVED[davfs2]}" "$@"
}

davfs2_empty()
{
	empty_directory "${SERVED[davfs2]}" "$@"
}

# ---- curl through hexkv's router -----------------------------------------------------------------

curl_start()
{
	:
}
