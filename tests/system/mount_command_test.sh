#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The mount as mount(8), umount(8) and fstab know it, and what its program says when it can't mount.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

HELPERS=()

# Links where mount(8) looks, for as long as the test lasts, if there are none.
helpers_install()
{
	local name
	((EUID == 0)) || skip 'only root can mount with mount(8)'
	for name in mount.hexkv mount.fuse.hexkv; do
		[[ ! -e /sbin/$name && ! -L /sbin/$name ]] || skip "/sbin/$name is there already"
		ln -s "$FS_BIN" "/sbin/$name" 2>/dev/null || skip '/sbin can not be written'
		HELPERS+=("/sbin/$name")
	done
}

helpers_remove()
{
	((${#HELPERS[@]} == 0)) || rm -f "${HELPERS[@]}"
}

# The end as lib.sh has it, and the links go.
trap 'status=$?; set +e; helpers_remove; (exit "$status"); finish' EXIT

# mount_line: what /proc/mounts says of MNT.
mount_line()
{
	awk -v mnt="$MNT" '$2 == mnt' /proc/mounts
}

mount_and_umount_work()
{
	mount -t hexkv "$ROUTER" "$MNT" -o noexec,noatime,timeout=5,umask=077
	expect_contains "$(mount_line)" "$ROUTER $MNT fuse.hexkv rw,nosuid,nodev,noexec,noatime"
	expect_contains "$(mount)" "$ROUTER on $MNT type fuse.hexkv"
	expect_equal "$ROUTER fuse.hexkv" "$(findmnt -n -o SOURCE,FSTYPE "$MNT" | tr -s ' ')"
	expect_equal 700 "$(stat -c %a "$MNT")"
	echo flushed >"$MNT/00aa"
	unmount
	expect_equal flushed "$(value_of 00aa)"
}

what_its_files_hold_is_stored_when_it_is_unmounted()
{
	local content
	mount -t hexkv "$ROUTER" "$MNT"
	random_file "$TMP/content" 3000000
	exec 7>"$MNT/00ab"
	cat "$TMP/content" >&7
	fails_with busy umount "$MNT"
	umount -l "$MNT"
	exec 7>&-
	expect_within 20 no_program_serves_it
	value_of 00ab >"$TMP/stored"
	expect_same_file "$TMP/content" "$TMP/stored"
	content=$(stat -c %s "$TMP/stored")
	expect_equal 3000000 "$content"
}

a_line_of_fstab_mounts_it()
{
	printf '%s/ %s hexkv %s 0 0\n' "$ROUTER" "$MNT" \
		'defaults,_netdev,nofail,user,x-systemd.requires=network-online.target,comment=it,ro' \
		>"$TMP/fstab"
	mount -T "$TMP/fstab" "$MNT"
	expect_contains "$(mount_line)" 'fuse.hexkv ro,'
	fails_with 'Read-only' touch "$MNT/00ac"
	# Twice is as good as once.
	expect_exit 0 mount -T "$TMP/fstab" -a
	expect_equal 1 "$(mount_line | wc -l)"
	unmount
	expect_exit 0 mount -T "$TMP/fstab" -a
	expect_contains "$(mount_line)" "$ROUTER/ $MNT fuse.hexkv ro,"
	unmount
}

further_forms_of_mount_work()
{
	mount -t fuse.hexkv "$ROUTER" "$MNT" -o ro
	expect_contains "$(mount_line)" "$ROUTER $MNT fuse.hexkv ro,"
	unmount
	if command -v mount.fuse3 >/dev/null; then
		mount -t fuse "$FS_BIN#$ROUTER" "$MNT"
		expect_contains "$(mount_line)" "$ROUTER $MNT fuse.hexkv rw,"
		unmount
	fi
	mount -f -t hexkv "$ROUTER" "$MNT"
	expect_equal '' "$(mount_line)"
	mount -s -t hexkv "$ROUTER" "$MNT" -o frobnicate
	unmount
}

every_flag_of_mount_is_taken()
{
	local option
	for option in sync dirsync async suid dev exec atime noatime diratime nodiratime relatime \
		norelatime strictatime nostrictatime lazytime nolazytime mand nomand iversion noiversion \
		silent loud auto_unmount allow_root x-any.thing X-any.thing; do
		mount -t hexkv "$ROUTER" "$MNT" -o "$option" || fail "-o $option is refused"
		echo "$option" >"$MNT/00ad"
		unmount
	done
}

it_becomes_read_only_and_writable_again()
{
	mount -t hexkv "$ROUTER" "$MNT" -o noatime
	echo before >"$MNT/00ae"
	mount -o remount,ro "$MNT"
	expect_contains "$(mount_line)" 'fuse.hexkv ro,'
	fails_with 'Read-only' touch "$MNT/00af"
	expect_equal before "$(cat "$MNT/00ae")"
	mount -o remount,rw "$MNT"
	expect_contains "$(mount_line)" 'fuse.hexkv rw,nosuid,nodev,noatime'
	echo after >"$MNT/00ae"
	expect_equal after "$(value_of 00ae)"
	unmount
	expect_exit 1 "${HELPERS[0]}" "$ROUTER" "$MNT" -o remount,ro
	expect_contains "$OUTPUT" 'no mount of hexkv'
}

mount_passes_on_what_is_wrong()
{
	expect_sentence 1 "unknown mount option 'frobnicate'" \
		mount -t hexkv "$ROUTER" "$MNT" -o frobnicate
	expect_sentence 1 'https' mount -t hexkv https://127.0.0.1:1 "$MNT"
	expect_equal '' "$(mount_line)"
}

it_is_back_when_the_mount_answers_and_holds_nothing_open()
{
	local output
	# A pipe that stayed open would be waited for.
	output=$(timeout $((20 * PATIENCE)) "$FS_BIN" "$ROUTER" "$MNT" 2>&1) || fail "$output"
	expect_equal 755 "$(stat -c %a "$MNT")"
	expect_equal "$ROUTER" "$(findmnt -n -o SOURCE "$MNT")"
	unmount
}

a_log_is_kept_where_it_was_asked_for()
{
	"$FS_BIN" "$ROUTER" "$MNT" -o "log=$TMP/log/background,log_level=debug"
	fails_with 'not permitted' touch "$MNT/no-key"
	unmount
	expect_contains "$(cat "$TMP/log/background")" 'event=mounted'
	expect_contains "$(cat "$TMP/log/background")" 'event=unmounted'
	expect_sentence 2 "$TMP/no/such/log" "$FS_BIN" "$ROUTER" "$MNT" -o "log=$TMP/no/such/log"
}

what_can_not_be_mounted_on_is_said()
{
	mkdir -p "$TMP/full"
	touch "$TMP/full/file"
	expect_sentence 2 'is not there' "$FS_BIN" "$ROUTER" "$TMP/absent"
	expect_sentence 2 'not a directory' "$FS_BIN" "$ROUTER" "$TMP/full/file"
	expect_sentence 2 'not empty' "$FS_BIN" "$ROUTER" "$TMP/full"
	"$FS_BIN" "$ROUTER" "$TMP/full" -o nonempty
	umount "$TMP/full"
	MNT=$TMP/full expect_within 20 no_program_serves_it
	"$FS_BIN" "$ROUTER" "$MNT"
	expect_sentence 2 'already a mount' "$FS_BIN" "$ROUTER" "$MNT"
	kill -KILL "$(mount_pid)"
	expect_within 20 no_program_serves_it
	fails_with 'endpoint is not connected' ls "$MNT"
	expect_sentence 2 "umount -l $MNT" "$FS_BIN" "$ROUTER" "$MNT"
	umount -l "$MNT"
	"$FS_BIN" "$ROUTER" "$MNT"
	unmount
}

a_mount_point_may_have_any_name()
{
	local plain=$MNT
	MNT=$TMP/'a b\c,d'
	mkdir "$MNT"
	"$FS_BIN" "$ROUTER" "$MNT"
	expect_sentence 2 'already a mount' "$FS_BIN" "$ROUTER" "$MNT"
	echo named >"$MNT/00b0"
	expect_equal named "$(value_of 00b0)"
	umount "$MNT"
	is_not_mounted "$MNT" || fail 'it is still mounted'
	expect_within 20 all_ended "$TMP/a b"
	MNT=$plain
}

# all_ended TEXT: no program has it in its command line but this test.
all_ended()
{
	! pgrep -f "hexkv-fs .*$1" >/dev/null
}

urls_that_can_not_be_mounted_are_said()
{
	expect_sentence 2 'begins with http://' "$FS_BIN" "${ROUTER#http://}" "$MNT"
	expect_sentence 2 'https is not spoken' "$FS_BIN" "https://${ROUTER#http://}" "$MNT"
	expect_sentence 2 'token_file' "$FS_BIN" "http://me:secret@${ROUTER#http://}" "$MNT"
	[[ $OUTPUT != *secret* ]] || fail 'the password is shown'
	expect_sentence 2 'follows its port' "$FS_BIN" "$ROUTER/kv" "$MNT"
	expect_sentence 2 'brackets' "$FS_BIN" 'http://::1:80' "$MNT"
	expect_equal '' "$(mount_line)"
}

an_ipv6_address_and_a_cluster_that_is_away_can_be_mounted()
{
	"$FS_BIN" 'http://[::1]:1' "$MNT" -o timeout=0.2
	expect_contains "$(mount_line)" 'http://[::1]:1 '
	fails_with 'Input/output error' cat "$MNT/00aa"
	unmount
}

tokens_that_do_not_serve_are_said()
{
	printf 'secret\n' >"$TMP/token"
	printf 'wrong\n' >"$TMP/wrong"
	: >"$TMP/empty"
	stop_process router
	ROUTER_ARGS=(--token-file "$TMP/token")
	router_start
	expect_sentence 2 "$TMP/absent" "$FS_BIN" "$ROUTER" "$MNT" -o "token_file=$TMP/absent"
	expect_sentence 2 'no token' "$FS_BIN" "$ROUTER" "$MNT" -o "token_file=$TMP/empty"
	expect_sentence 1 'refuses the token' "$FS_BIN" "$ROUTER" "$MNT"
	expect_sentence 1 'refuses the token' "$FS_BIN" "$ROUTER" "$MNT" -o "token_file=$TMP/wrong"
	expect_sentence 32 'refuses the token' mount -t hexkv "$ROUTER" "$MNT"
	expect_equal '' "$(mount_line)"
	"$FS_BIN" "$ROUTER" "$MNT" -o "token_file=$TMP/token"
	unmount
	stop_process router
	ROUTER_ARGS=()
	router_start
}

what_is_installed_is_what_mount_looks_for()
{
	local destination=$TMP/destination link
	meson install -C "$BUILD" --no-rebuild --destdir "$destination" >"$TMP/install" 2>&1 ||
		fail "$(tail -5 "$TMP/install")"
	link=$(find "$destination" -name mount.hexkv)
	[[ -L $link ]] || fail "mount.hexkv is not installed: $(cat "$TMP/install")"
	expect_equal hexkv-fs "$(basename "$(readlink "$link")")"
	[[ -x $destination$(readlink "$link") ]] || fail "$(readlink "$link") is not installed"
	[[ -L $(find "$destination" -name mount.fuse.hexkv) ]] || fail 'mount.fuse.hexkv is missing'
	command -v scdoc >/dev/null || return 0
	[[ -s $(find "$destination" -path '*/man/man8/mount.hexkv.8') ]] || fail 'a page is missing'
}

need_fuse
helpers_install
cluster_start
MNT=$TMP/mnt
mkdir "$MNT"
run_cases \
	mount_and_umount_work \
	what_its_files_hold_is_stored_when_it_is_unmounted \
	a_line_of_fstab_mounts_it \
	further_forms_of_mount_work \
	every_flag_of_mount_is_taken \
	it_becomes_read_only_and_writable_again \
	mount_passes_on_what_is_wrong \
	it_is_back_when_the_mount_answers_and_holds_nothing_open \
	a_log_is_kept_where_it_was_asked_for \
	what_can_not_be_mounted_on_is_said \
	a_mount_point_may_have_any_name \
	urls_that_can_not_be_mounted_are_said \
	an_ipv6_address_and_a_cluster_that_is_away_can_be_mounted \
	tokens_that_do_not_serve_are_said \
	what_is_installed_is_what_mount_looks_for
