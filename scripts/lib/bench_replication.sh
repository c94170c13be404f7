# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What followers cost the leader of a shard, and how well they keep up. Every load is measured with 0,
# 1 and 2 followers, each time on a new shard, in turns; the load talks to the leader's own port.
# A row that ends in -apart has load and leader on one core and all followers on another: that is
# nearest to machines of their own. In the others all share all cores.

REPLICATION_ROWS=(memory memory-apart disk disk-apart large large-apart acks bootstrap)

# load_of ROW: the options of bench-load.
load_of()
{
	case ${1%-apart} in
	memory) printf '%s\n' --connections 16 --depth 32 --value-bytes 1024 --count "$WRITES" ;;
	disk)
		printf '%s\n' --connections 32 --depth 4 --value-bytes 1024 --count "$WRITES" \
			--durability disk
		;;
	large)
		printf '%s\n' --connections 4 --depth 1 --value-bytes 1048576 --count "$LARGE_WRITES"
		;;
	esac
}

# shard_fresh NODES: s0a leads, the others follow it; nothing is in it.
shard_fresh()
{
	write_shard_file "$1"
	nodes_start
	expect_within 30 all_follow
}

shard_end()
{
	local name
	for name in "${NODE_NAMES[@]}"; do
		stop_process "$name"
		rm -rf "${TMP:?}/data-$name"
	done
}

followers()
{
	((${#NODE_NAMES[@]} == 1)) || printf '%s\n' "${NODE_NAMES[@]:1}"
}

# place ROW: PLACED is what a command is run with that shall share the leader's core.
place()
{
	local name
	PLACED=()
	[[ $1 == *-apart ]] || return 0
	PLACED=(taskset -c 0)
	taskset -a -p -c 0 "${PROCESSES[s0a]}" >/dev/null
	for name in $(followers); do
		taskset -a -p -c 1 "${PROCESSES[$name]}" >/dev/null
	done
}

# note ROW VARIANT ROUND NAME NUMBER
note()
{
	printf '%s\n' "$*" >>"$TMP/figures"
}

# field NAME LINE: of what bench-load printed.
field()
{
	local line=" $2 "
	line=${line#* "$1"=}
	printf '%s' "${line%% *}"
}

# ---- lag -----------------------------------------------------------------------------------------

sampler_start()
{
	rm -f "$TMP/log/sampler"
	# shellcheck disable=SC2153 # replica_lib.sh has it
	start_process sampler curl -sS --rate 25/s "${NODE_URLS[0]}/status#[1-10000]"
}

# sampler_stop ROW FOLLOWERS ROUND: of all followers together. A lag that is not known is longer than
# the leader looks back.
sampler_stop()
{
	end_process sampler
	{ jq -r '.replication.peers[] | select(.follows) | [.lag_ms, .lag_records] | @tsv' \
		2>/dev/null || true; } <"$TMP/log/sampler" >"$TMP/lag"
	# curl as it was ended may have written half an answer.
	awk '{ print $1 }' "$TMP/lag" | sort -n | awk -v row="$1 $2 $3" '
		{ ms[NR] = $1 }
		END {
			if (NR == 0)
				exit
			print row, "lag-p50-ms", ms[int((NR + 1) / 2)]
			print row, "lag-p99-ms", ms[int((NR * 99 + 99) / 100)]
			print row, "lag-max-ms", ms[NR]
		}' >>"$TMP/figures"
	awk -v row="$1 $2 $3" '$2 > most { most = $2 }
		END { if (NR > 0) print row, "lag-max-records", most + 0 }' "$TMP/lag" >>"$TMP/figures"
}

# catch_up: CAUGHT_MS is how long it takes until every follower has all of the log on its disk.
catch_up()
{
	local started=${EPOCHREALTIME/./} attempt
	for ((attempt = 0; ; attempt++)); do
		http -X PUT -d x -H 'HexKV-Ack: all' "${NODE_URLS[0]}/kv/00"
		[[ $STATUS != 20[014] ]] || break
		((attempt < 20)) || fail "the followers do not catch up: $STATUS $(head -c 300 "$BODY")"
	done
	CAUGHT_MS=$(((${EPOCHREALTIME/./} - started) / 1000))
}

# ---- rows ----------------------------------------------------------------------------------------

# load_run ROW FOLLOWERS ROUND
load_run()
{
	local row=$1 arguments line leader others tick
	tick=$(getconf CLK_TCK)
	mapfile -t arguments < <(load_of "$row")
	shard_fresh $(($2 + 1))
	place "$row"
	(($2 == 0)) || sampler_start
	leader=$(cpu_ticks s0a)
	mapfile -t others < <(followers)
	others=("$(cpu_ticks "${others[@]}")" "${others[@]}")
	line=$("${PLACED[@]}" "$BUILD/tests/bench/bench-load" "${arguments[@]}" --seconds "$SECONDS_EACH" \
		"${NODE_URLS[0]#http://}") || fail "$row"
	if (($2 > 0)); then
		sampler_stop "$@"
		catch_up
		note "$@" catch-up-ms "$CAUGHT_MS"
	fi
	leader=$(($(cpu_ticks s0a) - leader))
	others[0]=$(($(cpu_ticks "${others[@]:1}") - others[0]))
	awk -v row="$*" -v line="$line" -v leader="$leader" -v others="${others[0]}" -v tick="$tick" '
		BEGIN {
			split(line, part, /[ =]/)
			print row, "writes-a-second", part[2] / part[4]
			print row, "p50-us", part[6]
			print row, "p99-us", part[8]
			print row, "leader-us", leader * 1e6 / tick / part[2]
			print row, "followers-us", others * 1e6 / tick / part[2]
		}' >>"$TMP/figures"
	shard_end
}

# acks_run ROUND: one at a time on each of four connections, all on the leader's disk when they are
# answered.
acks_run()
{
	local ack first=0 line
	shard_fresh 3
	for ack in leader quorum all; do
		line=$("$BUILD/tests/bench/bench-load" --connections 4 --depth 1 --value-bytes 1024 \
			--durability disk --ack "$ack" --count "$WRITES" --first "$first" \
			--seconds "$SECONDS_EACH" "${NODE_URLS[0]#http://}") || fail "ack $ack"
		note acks "$ack" "$1" p50-us "$(field p50_us "$line")"
		note acks "$ack" "$1" p99-us "$(field p99_us "$line")"
		first=$((first + WRITES))
	done
	shard_end
}

# paced NAME: what one waits for at a time, on four connections, is written until it is told to end.
paced_start()
{
	rm -f "$TMP/log/paced"
	start_process paced "$BUILD/tests/bench/bench-load" --connections 4 --depth 1 \
		--value-bytes 1024 --durability disk --count 2000000 --first "$1" \
		"${NODE_URLS[0]#http://}"
}

paced_end()
{
	stop_process paced
	LINE=$(tail -1 "$TMP/log/paced")
}

# So much that a follower that begins with nothing has to fetch a copy.
log_is_trimmed()
{
	(($(metric 0 hexkv_store_log_bytes) < MIB * 1024 * 384))
}

is_whole()
{
	may_be_read 1 && has_role 1 follower
}

# bootstrap_run ROUND: a follower whose disk was lost fetches half of MIB as values of 1 MiB, half as
# records of 1 KiB.
bootstrap_run()
{
	local variant started first=500000000 saved=("${NODE_ARGS[@]}")
	NODE_ARGS+=(--log-retain-bytes 4M --log-retain-seconds 1)
	shard_fresh 2
	node_kill 1
	"$BUILD/tests/bench/bench-load" --count $((MIB / 2)) --value-bytes 1048576 --connections 4 \
		--depth 1 "${NODE_URLS[0]#http://}" >/dev/null
	"$BUILD/tests/bench/bench-load" --count $((MIB * 512)) --first 100000000 \
		"${NODE_URLS[0]#http://}" >/dev/null
	expect_within 60 log_is_trimmed
	for variant in without no-limit limited; do
		rm -rf "$TMP/data-s0b" "$TMP/log/s0b"
		first=$((first + 10000000))
		paced_start "$first"
		started=${EPOCHREALTIME/./}
		case $variant in
		without) sleep "$SECONDS_EACH" ;;
		no-limit) node_start 1 ;;
		limited)
			NODE_ARGS+=(--bootstrap-rate "${BOOTSTRAP_MIB}M")
			node_start 1
			;;
		esac
		if [[ $variant != without ]]; then
			expect_within 120 is_whole
			grep -q 'taking over the copy' "$TMP/log/s0b" || fail 'no copy was fetched'
			note bootstrap "$variant" "$1" seconds \
				"$(awk "BEGIN { print (${EPOCHREALTIME/./} - $started) / 1e6 }")"
		fi
		paced_end
		note bootstrap "$variant" "$1" p50-us "$(field p50_us "$LINE")"
		note bootstrap "$variant" "$1" p99-us "$(field p99_us "$LINE")"
		[[ $variant == without ]] || node_kill 1
	done
	NODE_ARGS=("${saved[@]}")
	node_start 1
	shard_end
}

replication_run()
{
	local round row n
	# shellcheck disable=SC2034 # for the table
	LOAD_BEFORE=$(cut -d ' ' -f 1 /proc/loadavg)
	LARGE_WRITES=$((WRITES / 500))
	BOOTSTRAP_MIB=$((MIB / 8))
	((LARGE_WRITES > 0)) || LARGE_WRITES=1
	((BOOTSTRAP_MIB > 0)) || BOOTSTRAP_MIB=1
	free_ports
	for ((round = 1; round <= ROUNDS; round++)); do
		for row in "${REPLICATION_ROWS[@]}"; do
			row_wanted "$row" || continue
			say "round $round of $ROUNDS: $row"
			case $row in
			acks) acks_run "$round" ;;
			bootstrap) bootstrap_run "$round" ;;
			*)
				# Each round begins with another number of followers.
				for n in 0 1 2; do
					load_run "$row" $(((n + round - 1) % 3)) "$round"
				done
				;;
			esac
		done
	done
}
