#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A mount of somebody who is not root, and who else may look into it.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

# Two users who need not exist.
USER_ID=65534
STRANGER_ID=65533
FUSE_MODE=''
FUSE_LOCK='' # one test at a time changes the device

# The end as lib.sh has it, and the device is as it was.
trap 'status=$?; set +e; [[ -z $FUSE_MODE ]] || chmod "$FUSE_MODE" /dev/fuse; (exit "$status"); finish' EXIT

let_users_use_fuse()
{
	((EUID == 0)) || skip 'only root can become another user'
	need_command setpriv
	[[ -u $(command -v fusermount3) ]] || skip 'fusermount3 is not set-user-id root'
	exec {FUSE_LOCK}>"${TMPDIR:-/tmp}/hexkv-test-fuse-mode"
	flock "$FUSE_LOCK"
	FUSE_MODE=$(stat -c %a /dev/fuse)
	chmod 666 /dev/fuse 2>/dev/null || skip '/dev/fuse can not be opened to users'
	as_user test -w /dev/fuse || skip '/dev/fuse can not be opened to users'
}

AS_USER=(setpriv --reuid="$USER_ID" --regid="$USER_ID" --clear-groups)

as_user()
{
	"${AS_USER[@]}" "$@"
}

as_stranger()
{
	setpriv --reuid="$STRANGER_ID" --regid="$STRANGER_ID" --clear-groups "$@"
}

a_user_mounts_writes_reads_and_unmounts()
{
	"${USER_MOUNT[@]}"
	expect_contains "$(grep " $MNT " /proc/mounts)" "$ROUTER $MNT fuse.hexkv rw,nosuid,nodev"
	expect_equal "$USER_ID $USER_ID 755" "$(as_user stat -c '%u %g %a' "$MNT")"
	as_user bash -c "echo mine >'$MNT/00aa'"
	expect_equal mine "$(as_user cat "$MNT/00aa")"
	expect_equal mine "$(value_of 00aa)"
	expect_equal "$USER_ID" "$(as_user stat -c %u "$MNT/00aa")"
	as_user cat "$MNT/.stats" | grep -q '^hexkv_fs_inodes '
	as_user df "$MNT" >"$TMP/df"
	as_user fusermount3 -u "$MNT"
	expect_within 20 no_program_serves_it
	# umount(8) lets the one unmount who mounted.
	"${USER_MOUNT[@]}"
	as_user umount "$MNT"
	expect_within 20 no_program_serves_it
}

nobody_else_gets_in_not_even_root()
{
	"${USER_MOUNT[@]}"
	fails_with 'Permission denied' as_stranger ls "$MNT"
	fails_with 'Permission denied' as_stranger cat "$MNT/00aa"
	fails_with 'Permission denied' ls "$MNT"
	unmount
}

a_user_lets_others_in_only_where_root_allows_it()
{
	! grep -q '^user_allow_other' /etc/fuse.conf 2>/dev/null || return 0
	expect_sentence 2 "user_allow_other" "${USER_MOUNT[@]}" -o allow_other
	expect_sentence 2 "user_allow_other" "${USER_MOUNT[@]}" -o allow_root
	is_not_mounted "$MNT" || fail 'it is mounted'
}

root_lets_others_in_and_the_kernel_minds_permissions()
{
	"$FS_BIN" "$ROUTER" "$MNT" -o allow_other,umask=027,gid=$USER_ID
	expect_equal mine "$(as_user cat "$MNT/00aa")"
	fails_with 'Permission denied' as_user touch "$MNT/00ab"
	fails_with 'Permission denied' as_user tee "$MNT/00aa"
	fails_with 'Permission denied' as_stranger ls "$MNT"
	unmount
	"$FS_BIN" "$ROUTER" "$MNT" -o allow_other,umask=0
	as_stranger bash -c "echo everybody >'$MNT/00ab'"
	expect_equal everybody "$(value_of 00ab)"
	unmount
}

a_directory_of_somebody_else_is_refused()
{
	mkdir "$TMP/other"
	expect_sentence 1 'no write access' "${AS_USER[@]}" "$FS_COPY" "$ROUTER" "$TMP/other" \
		-o "staging=$TMP/staging"
	is_not_mounted "$TMP/other" || fail 'it is mounted'
}

a_device_that_may_not_be_used_is_named()
{
	chmod 600 /dev/fuse
	expect_sentence 1 "chmod 666 /dev/fuse" "${USER_MOUNT[@]}"
	chmod 666 /dev/fuse
	is_not_mounted "$MNT" || fail 'it is mounted'
}

need_fuse
let_users_use_fuse
cluster_start
MNT=$TMP/mnt
mkdir "$MNT" "$TMP/staging"
chown "$USER_ID:$USER_ID" "$MNT" "$TMP/staging"
chmod 755 "$TMP"
# The build directory may be nobody else's business.
FS_COPY=$TMP/hexkv-fs
install -m 755 "$FS_BIN" "$FS_COPY"
USER_MOUNT=("${AS_USER[@]}" "$FS_COPY" "$ROUTER" "$MNT" -o "staging=$TMP/staging")
run_cases \
	a_user_mounts_writes_reads_and_unmounts \
	nobody_else_gets_in_not_even_root \
	a_user_lets_others_in_only_where_root_allows_it \
	root_lets_others_in_and_the_kernel_minds_permissions \
	a_directory_of_somebody_else_is_refused \
	a_device_that_may_not_be_used_is_named
