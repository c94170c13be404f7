# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The directory of a cluster: hexkv.conf (what it was started with), cluster.json, data/NODE, log,
# run (pid files), lock, mnt.

SLOTS=4096

settings_file()
{
	printf '%s/hexkv.conf' "$DIR"
}

directory_exists()
{
	[[ -f $(settings_file) ]]
}

# setting NAME: its value in hexkv.conf; false if it is not there. The file is read, never run.
setting()
{
	local name value
	while IFS='=' read -r name value; do
		[[ $name == "$1" ]] || continue
		printf '%s' "$value"
		return 0
	done <"$(settings_file)"
	return 1
}

settings_load()
{
	local format name
	format=$(setting format) || format=
	[[ $format == 1 ]] || die "$(settings_file) is of format '$format', this script knows 1"
	for name in port shards followers; do
		[[ $(setting "$name") =~ ^[0-9]{1,5}$ ]] ||
			die "$(settings_file) has no number '$name'; restore it"
	done
	PORT=$(setting port)
	SHARDS=$(setting shards)
	FOLLOWERS=$(setting followers)
	MOUNT=$(setting mount) || die "$(settings_file) has no 'mount'; restore it"
}

settings_save()
{
	local file
	file=$(settings_file)
	{
		printf 'format=1\nport=%s\nshards=%s\n' "$PORT" "$SHARDS"
		printf 'followers=%s\nmount=%s\n' "$FOLLOWERS" "$MOUNT"
	} >"$file.new"
	mv -f "$file.new" "$file"
}

# One at a time works on a directory. The lock ends with this process: daemons do not inherit it.
directory_lock()
{
	exec {DIRECTORY_LOCK}>>"$DIR/lock"
	if ! flock -n "$DIRECTORY_LOCK"; then
		say "another scripts/hexkv works on $DIR; waiting for it"
		flock -w 300 "$DIRECTORY_LOCK" || die "it still does; try again when it has ended"
	fi
}

# The nodes' names in the order of the cluster file: s0a s0b s1a s1b.
node_names()
{
	local shard member letters=abcdefghijklmnopqrstuvwxyz
	for ((shard = 0; shard < SHARDS; shard++)); do
		for ((member = 0; member <= FOLLOWERS; member++)); do
			printf 's%d%s\n' "$shard" "${letters:member:1}"
		done
	done
}

# port_of MEMBER: the router's is PORT, the nodes' are those after it.
port_of()
{
	local name port=$PORT
	if [[ $1 != router ]]; then
		while read -r name; do
			port=$((port + 1))
			[[ $name != "$1" ]] || break
		done < <(node_names)
	fi
	printf '%s' "$port"
}

url_of()
{
	printf 'http://127.0.0.1:%s' "$(port_of "$1")"
}

shard_json()
{
	local shard=$1 name separator=
	printf '  {"name": "s%d", "slots": [[%d, %d]], "leader": "s%da", "nodes": [' "$shard" \
		$((SLOTS * shard / SHARDS)) $((SLOTS * (shard + 1) / SHARDS - 1)) "$shard"
	while read -r name; do
		[[ $name =~ ^s${shard}[a-z]$ ]] || continue
		printf '%s\n    {"name": "%s", "url": "%s"}' "$separator" "$name" "$(url_of "$name")"
		separator=,
	done < <(node_names)
	printf ']}'
}

cluster_file_save()
{
	local shard file=$DIR/cluster.json
	{
		printf '{"cluster": "hexkv",\n "shards": [\n'
		for ((shard = 0; shard < SHARDS; shard++)); do
			((shard == 0)) || printf ',\n'
			shard_json "$shard"
		done
		printf '\n ]}\n'
	} >"$file.new"
	mv -f "$file.new" "$file"
}
