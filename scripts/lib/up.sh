# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# hexkv up: everything from a bare machine to a mounted cluster; what runs already stays as it is.

STARTED=() # members that this run started, for the way back

# up_choose: PORT, SHARDS, FOLLOWERS, MOUNT from options, the directory's settings and defaults.
up_choose()
{
	local port=$OPT_PORT shards=$OPT_SHARDS followers=$OPT_FOLLOWERS mount=$OPT_MOUNT
	IS_NEW=1
	PORT=8080 SHARDS=2 FOLLOWERS=1 MOUNT=$DIR/mnt
	if directory_exists; then
		IS_NEW=0
		settings_load
		[[ ${shards:-$SHARDS} == "$SHARDS" ]] ||
			die_usage "$DIR has $SHARDS shards, which can not be changed;" \
				"leave --shards out or choose another --dir"
		[[ ${followers:-$FOLLOWERS} == "$FOLLOWERS" ]] ||
			die_usage "$DIR has $FOLLOWERS followers a shard, which can not be changed;" \
				"leave --followers out or choose another --dir"
		up_refuse_moving "$port" "$mount"
	fi
	PORT=${port:-$PORT} SHARDS=${shards:-$SHARDS} FOLLOWERS=${followers:-$FOLLOWERS}
	MOUNT=${mount:-$MOUNT}
	token_choose "$OPT_TOKEN_FILE"
	((PORT + SHARDS * (FOLLOWERS + 1) <= 65535)) ||
		die_usage "the nodes' ports follow --port $PORT and would pass 65535; choose a lower one"
}

# Port and mount point may change between two runs of the cluster, not under a running one.
up_refuse_moving()
{
	local name
	if [[ ${1:-$PORT} != "$PORT" ]]; then
		while read -r name; do
			! daemon_runs "$name" || die_usage "the cluster in $DIR runs on port $PORT;" \
				"take it down before you move it to port $1"
		done < <(printf 'router\n'; node_names)
	fi
	if [[ ${2:-$MOUNT} != "$MOUNT" ]] && daemon_runs mount; then
		die_usage "the cluster in $DIR is mounted on $MOUNT;" \
			"take it down before you mount it on $2"
	fi
}

# A directory is made into a cluster's only if there is nothing in it, but for what a first run that
# failed left behind.
up_prepare_directory()
{
	local file
	if ((IS_NEW)) && [[ -d $DIR ]]; then
		for file in "$DIR"/* "$DIR"/.[!.]* "$DIR"/data/*; do
			case ${file#"$DIR/"} in
			data | log | run | mnt | lock | token* | cluster.json* | hexkv.conf.new) continue ;;
			esac
			[[ ! -e $file ]] || die_usage "$DIR is not empty and not a cluster's directory;" \
				"choose another --dir"
		done
	fi
	mkdir -p -- "$DIR/data" "$DIR/log" "$DIR/run" 2>/dev/null ||
		die "the directory $DIR can not be made"
}

up_all_runs()
{
	local name
	while read -r name; do
		daemon_runs "$name" && member_is_ready "$name" || return 1
	done < <(node_names; printf 'router\n')
	! fuse_is_there || { daemon_runs mount && is_mounted "$MOUNT"; }
}

# Before anything is started: all ports of members that do not run are free.
up_check_ports()
{
	local name port holder taken=0
	while read -r name; do
		! daemon_runs "$name" || continue
		port=$(port_of "$name")
		if holder=$(port_holder "$port"); then
			say "port $port, needed for $name, is taken$holder"
			taken=1
		fi
	done < <(printf 'router\n'; node_names)
	((!taken)) || die "nothing was started; free the port or choose another with --port"
}

member_is_ready()
{
	curl -fsS --noproxy '*' -m 2 -o /dev/null "$(url_of "$1")/health/ready" 2>/dev/null
}

member_is_ready_or_ended()
{
	member_is_ready "$1" || daemon_stopped "$1"
}

# up_wait NAME: until it is ready; recovery after a crash may take its time.
up_wait()
{
	local name=$1
	if ! wait_until 10 member_is_ready_or_ended "$name"; then
		say "waiting for $name; its log is $(log_file "$name")"
		wait_until 290 member_is_ready_or_ended "$name" ||
			die "$name is not ready after 300 s; its log is $(log_file "$name")"
	fi
	daemon_runs "$name" || die "$name did not start: $(last_words "$name")" \
		"(the whole log: $(log_file "$name"))"
}

up_start_node()
{
	local token=()
	[[ ! -e $(token_file) ]] || token=(--token-file "$(token_file)")
	daemon_start "$1" "$BUILD/node/hexkv-node" --data "$DIR/data/$1" \
		--listen "127.0.0.1:$(port_of "$1")" --cluster "$DIR/cluster.json" --name "$1" "${token[@]}"
}

up_start_nodes()
{
	local name
	while read -r name; do
		! daemon_runs "$name" || continue
		STARTED+=("$name")
		up_start_node "$name"
	done < <(node_names)
	while read -r name; do
		up_wait "$name"
	done < <(node_names)
}

up_start_router()
{
	local token=()
	[[ ! -e $(token_file) ]] || token=(--token-file "$(token_file)")
	if ! daemon_runs router; then
		STARTED+=(router)
		daemon_start router "$BUILD/router/hexkv-router" \
			--listen "127.0.0.1:$PORT" --cluster "$DIR/cluster.json" "${token[@]}"
	fi
	up_wait router
}

mount_is_up_or_ended()
{
	is_mounted "$MOUNT" || daemon_stopped mount
}

# A path as it must stand in -o.
quoted_option()
{
	local text=${1//\\/\\\\}
	printf '%s' "${text//,/\\,}"
}

up_start_mount()
{
	local token=()
	if ! fuse_is_there; then
		say "/dev/fuse can not be used here, so the cluster comes without its mount"
		return 0
	fi
	if daemon_runs mount && is_mounted "$MOUNT"; then
		return 0
	fi
	daemon_stop mount 30 || die "a hexkv-fs that is not mounted does not end; use 'down --force'"
	mount_point_prepare
	STARTED+=(mount)
	[[ ! -e $(token_file) ]] || token=(-o "token_file=$(quoted_option "$(token_file)")")
	daemon_start mount "$BUILD/fs/hexkv-fs" "$(url_of router)" "$MOUNT" -f "${token[@]}"
	wait_until 30 mount_is_up_or_ended || die "nothing is mounted on $MOUNT after 30 s;" \
		"the log is $(log_file mount)"
	daemon_runs mount || die "hexkv-fs did not start: $(last_words mount)" \
		"(the whole log: $(log_file mount))"
}

# What this run started is ended again when it can not finish.
up_roll_back()
{
	local status=$? i
	trap - EXIT
	((status != 0)) || exit 0
	for ((i = ${#STARTED[@]} - 1; i >= 0; i--)); do
		[[ ${STARTED[i]} != mount ]] || ! is_mounted "$MOUNT" || unmount_lazily "$MOUNT" || true
		daemon_stop "${STARTED[i]}" 20 || say "${STARTED[i]} still runs"
	done
	((${#STARTED[@]} == 0)) || say "ended again what had been started: ${STARTED[*]}"
	exit "$status"
}

up_print()
{
	local url directory='' mount header=''
	url=$(url_of router)
	mount=$(quoted "$MOUNT")
	[[ $DIR == "$(default_directory)" ]] || directory=" --dir $(quoted "$DIR")"
	[[ ! -e $(token_file) ]] ||
		header=" -H \"Authorization: Bearer \$(cat $(quoted "$(token_file)"))\""
	printf '%s: %d shards with %d followers each, router at %s, data in %s\n\nTry\n' \
		"$1" "$SHARDS" "$FOLLOWERS" "$url" "$DIR"
	cat <<-TEXT
	  curl -X PUT $url/$header -H "Content-Type: application/json" \\
	    -d '{"key":"90219201f2","content_type":"text/plain","encoding":"utf-8","value":"hello"}'
	  curl -X POST $url/$header -H "Content-Type: application/octet-stream" -d 90219201f2
	  curl -i $url/kv/90219201f2$header
	TEXT
	if is_mounted "$MOUNT"; then
		cat <<-TEXT
		  cat $mount/90219201f2
		  getfattr -d $mount/90219201f2
		  cp /usr/bin/env $mount/00ff && ls -l $mount
		TEXT
	fi
	printf '\nand then\n  scripts/hexkv status%s\n  scripts/hexkv down%s\n' \
		"$directory" "$directory"
}

up()
{
	umask 077
	up_choose
	packages_install build run
	up_prepare_directory
	directory_lock
	up_choose # another run may have come first
	if ((!IS_NEW)) && up_all_runs; then
		up_print 'hexkv is running'
		return 0
	fi
	build_programs
	up_check_ports
	if ((IS_NEW)) || [[ $(setting port) != "$PORT" || ! -e $DIR/cluster.json ]]; then
		cluster_file_save
	fi
	settings_save
	token_save
	trap up_roll_back EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	up_start_nodes
	up_start_router
	up_start_mount
	trap - EXIT
	up_print 'hexkv runs'
}
