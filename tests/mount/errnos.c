/* SPDX-License-Identifier: MIT */
/*
 * What each call on a mount answers when it can't do what it is asked, and what it does when it
 * can:
 *
 *   mount_errnos DIRECTORY
 *
 * The directory is empty. Prints each answer that is not the expected one; status 1 if there was
 * one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

static int failures;

static void check(int expected, long result, int line, const char *call)
{
	int code = result < 0 ? errno : 0;

	if (code == expected)
		return;
	fprintf(stderr, "line %d: %s: expected %s, got %s\n", line, call,
		expected ? strerrorname_np(expected) : "success",
		code ? strerrorname_np(code) : "success");
	failures++;
}

/* @expected: an errno, 0 = success. */
#define EXPECT(expected, call) check(expected, (long)(call), __LINE__, #call)
#define TRUE_(condition)       EXPECT(0, (condition) ? 0 : (errno = EPROTO, -1))

static char long_name[300];

static const char *name_of(size_t len)
{
	memset(long_name, 'a', len);
	long_name[len] = '\0';
	return long_name;
}

static int opened(const char *name, int flags)
{
	int fd = open(name, flags | O_CLOEXEC, 0644);

	if (fd >= 0)
		close(fd);
	return fd;
}

static off_t size_of(const char *name)
{
	struct stat st;

	return stat(name, &st) < 0 ? -1 : st.st_size;
}

static void names(void)
{
	struct stat st;
	struct statvfs vfs;

	EXPECT(0, opened("00aa", O_CREAT | O_RDWR));
	EXPECT(0, opened(name_of(254), O_CREAT | O_RDWR));
	EXPECT(0, unlink(name_of(254)));
	EXPECT(EPERM, opened(name_of(255), O_CREAT | O_RDWR));
	EXPECT(ENAMETOOLONG, opened(name_of(256), O_CREAT | O_RDWR));
	EXPECT(ENAMETOOLONG, stat(name_of(256), &st));
	EXPECT(ENAMETOOLONG, rename("00aa", name_of(256)));
	EXPECT(0, statvfs(".", &vfs));
	TRUE_(vfs.f_namemax == 255);
	EXPECT(EEXIST, opened("00aa", O_CREAT | O_EXCL | O_WRONLY));
	EXPECT(ENOENT, opened("00ab", O_RDONLY));
	EXPECT(ENOENT, opened("name", O_RDONLY));
	EXPECT(EPERM, opened("name", O_CREAT | O_WRONLY));
	EXPECT(EPERM, opened("00AA", O_CREAT | O_WRONLY));
	EXPECT(EISDIR, opened(".", O_WRONLY));
	EXPECT(ENOTDIR, opened("00aa", O_DIRECTORY));
	EXPECT(ENOTDIR, opened("00aa/00bb", O_RDONLY));
	EXPECT(ENOTDIR, stat("00aa/", &st));
	EXPECT(0, opened("00aa", O_NOFOLLOW));
	EXPECT(EOPNOTSUPP, opened(".", O_TMPFILE | O_RDWR));
	EXPECT(ENOENT, unlink("00ab"));
	EXPECT(EISDIR, unlink("."));
	EXPECT(ENOTDIR, rmdir("00aa"));
	EXPECT(ENOENT, rmdir("00ab"));
}

static void what_is_no_file(void)
{
	char text[8];

	EXPECT(EPERM, mkdir("00ad", 0755));
	EXPECT(EEXIST, mkdir("00aa", 0755));
	EXPECT(EPERM, link("00aa", "00ad"));
	EXPECT(EEXIST, link("00aa", "00aa"));
	EXPECT(EPERM, symlink("x", "00ad"));
	EXPECT(EINVAL, readlink("00aa", text, sizeof(text)));
	EXPECT(EPERM, mkfifo("00ad", 0644));
	EXPECT(EPERM, mknod("00ad", S_IFSOCK | 0644, 0));
	EXPECT(0, mknod("00ad", S_IFREG | 0640, 0));
	EXPECT(EEXIST, mknod("00ad", S_IFREG | 0640, 0));
	TRUE_(size_of("00ad") == 0);
	EXPECT(0, unlink("00ad"));
}

static void renames(void)
{
	EXPECT(ENOENT, rename("00ab", "00ac"));
	EXPECT(0, rename("00aa", "00aa"));
	EXPECT(EPERM, rename("00aa", "name"));
	EXPECT(EXDEV, rename("00aa", "/tmp/00aa"));
	EXPECT(0, opened("00ac", O_CREAT | O_WRONLY));
	EXPECT(EEXIST, renameat2(AT_FDCWD, "00aa", AT_FDCWD, "00ac", RENAME_NOREPLACE));
	EXPECT(EINVAL, renameat2(AT_FDCWD, "00aa", AT_FDCWD, "00ac", RENAME_EXCHANGE));
	EXPECT(EINVAL, renameat2(AT_FDCWD, "00aa", AT_FDCWD, "00ae", RENAME_WHITEOUT));
	EXPECT(0, renameat2(AT_FDCWD, "00ac", AT_FDCWD, "00ae", RENAME_NOREPLACE));
	EXPECT(0, unlink("00ae"));
}

static void sizes(int fd)
{
	TRUE_(write(fd, long_name, 100) == 100);
	EXPECT(EINVAL, ftruncate(fd, -1));
	EXPECT(EFBIG, ftruncate(fd, (INT64_C(1) << 43) + 1));
	EXPECT(EFBIG, truncate("00aa", INT64_C(1) << 62));
	EXPECT(EFBIG, pwrite(fd, "x", 1, INT64_C(1) << 43));
	EXPECT(EISDIR, truncate(".", 0));
	EXPECT(ENOENT, truncate("00ab", 0));
	TRUE_(size_of("00aa") == 100);
	EXPECT(EOPNOTSUPP, fallocate(fd, 0, 0, 20000));
	EXPECT(EOPNOTSUPP, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 50));
	TRUE_(posix_fallocate(fd, 0, 20000) == 0);
	TRUE_(size_of("00aa") == 20000);
	TRUE_(lseek(fd, 0, SEEK_DATA) == 0);
	TRUE_(lseek(fd, 0, SEEK_HOLE) == 20000);
	EXPECT(ENXIO, lseek(fd, 20000, SEEK_DATA));
}

static void copies(int fd)
{
	int to = open("00b0", O_CREAT | O_RDWR | O_CLOEXEC, 0644);
	int ends[2];
	loff_t zero = 0;

	EXPECT(0, pipe2(ends, O_CLOEXEC));
	EXPECT(0, lseek(fd, 0, SEEK_SET));
	TRUE_(copy_file_range(fd, NULL, to, NULL, 5000, 0) == 5000);
	TRUE_(sendfile(to, fd, NULL, 5000) == 5000);
	TRUE_(splice(fd, &zero, ends[1], NULL, 4096, 0) == 4096);
	zero = 0;
	TRUE_(splice(ends[0], NULL, to, &zero, 4096, 0) == 4096);
	TRUE_(size_of("00b0") == 10000);
	close(ends[0]);
	close(ends[1]);
	close(to);
	EXPECT(0, unlink("00b0"));
}

static void attributes(void)
{
	const struct timespec omit[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };
	const struct timespec set[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 5, .tv_nsec = 7 } };
	const struct timespec now[2] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_NOW } };
	struct stat st;

	EXPECT(0, utimensat(AT_FDCWD, "00aa", set, 0));
	EXPECT(0, utimensat(AT_FDCWD, "00aa", omit, 0));
	EXPECT(0, stat("00aa", &st));
	TRUE_(st.st_mtim.tv_sec == 5 && st.st_mtim.tv_nsec == 7);
	EXPECT(0, utimensat(AT_FDCWD, "00aa", now, 0));
	EXPECT(0, stat("00aa", &st));
	TRUE_(st.st_mtim.tv_sec > 5);
	EXPECT(0, chmod("00aa", 0750));
	EXPECT(0, stat("00aa", &st));
	TRUE_((st.st_mode & 07777) == 0750);
	EXPECT(0, access("00aa", R_OK | W_OK));
	EXPECT(EPERM, chown("00aa", 12345, (gid_t)-1));
	EXPECT(0, chown("00aa", st.st_uid, st.st_gid));
	EXPECT(EOPNOTSUPP, getxattr("00aa", "user.other", long_name, 10));
	EXPECT(EOPNOTSUPP, setxattr("00aa", "trusted.x", "x", 1, 0));
	EXPECT(EINVAL, setxattr("00aa", "user.encoding", name_of(256), 256, 0));
	EXPECT(EINVAL, setxattr("00aa", "user.encoding", "", 0, 0));
	EXPECT(EEXIST, setxattr("00aa", "user.encoding", "x", 1, XATTR_CREATE));
	EXPECT(ERANGE, getxattr("00aa", "user.content_type", long_name, 3));
	EXPECT(0, setxattr("00aa", "user.encoding", "x", 1, XATTR_REPLACE));
}

int main(int argc, char **argv)
{
	int fd;

	if (argc != 2 || chdir(argv[1]) < 0)
		return 2;
	names();
	what_is_no_file();
	renames();
	fd = open("00aa", O_RDWR | O_CLOEXEC);
	sizes(fd);
	copies(fd);
	EXPECT(0, fsync(fd));
	EXPECT(0, close(fd));
	attributes();
	EXPECT(0, unlink("00aa"));
	return failures > 0;
}
