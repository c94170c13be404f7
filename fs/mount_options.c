/* SPDX-License-Identifier: MIT */
#include "fs/mount_options.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/options.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRAM            "hexkv-fs"
#define EXIT_BAD_ARGUMENTS 2
#define TIMEOUT_MS         20000
#define ATTR_TIMEOUT_S_MAX 1

static int __attribute__((format(printf, 1, 2))) complain(const char *format, ...)
{
	va_list args;

	fputs(PROGRAM ": ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return -EINVAL;
}

static char *own(struct mount_options *options, char *text)
{
	assert(options->owned_count < sizeof(options->owned) / sizeof(options->owned[0]));
	options->owned[options->owned_count++] = text;
	return text;
}

void mount_options_deinit(struct mount_options *options)
{
	for (unsigned i = 0; i < options->owned_count; i++)
		free(options->owned[i]);
	options->owned_count = 0;
}

/* What can follow -o, and what it sets. */
struct parsing {
	struct mount_options *options;
	struct buf passed_on;
	const char *token_file;
	enum log_level log_level;
};

static int parse_number(const char *name, const char *text, int base, unsigned long max,
			unsigned long *ret_number)
{
	char *end;
	unsigned long number;

	errno = 0;
	number = strtoul(text, &end, base);
	if (errno || *text < '0' || *text > '9' || *end || number > max)
		return complain(base == 8 ? "-o %s needs an octal number up to %lo, not '%s'"
					  : "-o %s needs a number up to %lu, not '%s'",
				name, max, text);
	*ret_number = number;
	return 0;
}

/* Seconds, with a fraction. */
static int parse_seconds(const char *name, const char *text, double min, double max,
			 uint32_t *ret_ms)
{
	char *end;
	double seconds = strtod(text, &end);

	if (*text == '\0' || *end || !(seconds >= min && seconds <= max))
		return complain("-o %s needs seconds from %g to %g, not '%s'", name, min, max,
				text);
	*ret_ms = (uint32_t)(seconds * 1000);
	return 0;
}

static int set_uid(struct parsing *p, const char *value)
{
	unsigned long number = 0;
	int r = parse_number("uid", value, 10, UINT32_MAX - 1, &number);

	p->options->uid = (uid_t)number;
	return r;
}

static int set_gid(struct parsing *p, const char *value)
{
	unsigned long number = 0;
	int r = parse_number("gid", value, 10, UINT32_MAX - 1, &number);

	p->options->gid = (gid_t)number;
	return r;
}

static int set_umask(struct parsing *p, const char *value)
{
	unsigned long number = 0;
	int r = parse_number("umask", value, 8, 0777, &number);

	p->options->umask = (unsigned)number;
	return r;
}

static int set_timeout(struct parsing *p, const char *value)
{
	return parse_seconds("timeout", value, 0.1, 3600, &p->options->timeout_ms);
}

static int set_attr_timeout(struct parsing *p, const char *value)
{
	return parse_seconds("attr_timeout", value, 0, ATTR_TIMEOUT_S_MAX,
			     &p->options->attr_timeout_ms);
}

static int set_staging(struct parsing *p, const char *value)
{
	struct stat st;
	char *path = realpath(value, NULL);

	if (!path || stat(path, &st) < 0 || !S_ISDIR(st.st_mode) || access(path, W_OK) < 0) {
		free(path);
		return complain("-o staging needs a directory that can be written to, not '%s'",
				value);
	}
	if (p->options->staging) {
		free(path);
		return complain("-o staging is given twice");
	}
	p->options->staging = own(p->options, path);
	return 0;
}

static int set_token_file(struct parsing *p, const char *value)
{
	char *token;
	int r = read_token_file(value, &token);

	if (r < 0)
		return complain("the token file '%s' can't be used (%s)", value, strerror(-r));
	if (p->options->token) {
		free(token);
		return complain("-o token_file is given twice");
	}
	p->options->token = own(p->options, token);
	return 0;
}

static int set_log_level(struct parsing *p, const char *value)
{
	if (log_level_parse(value, &p->log_level) < 0)
		return complain("-o log_level is error, warn, info or debug, not '%s'", value);
	return 0;
}

static int set_log(struct parsing *p, const char *value)
{
	p->options->log_file = value;
	return 0;
}

static int set_fsname(struct parsing *p, const char *value)
{
	p->options->fsname = value;
	return 0;
}

static int set_ro(struct parsing *p, const char *value)
{
	(void)value;
	p->options->read_only = true;
	return 0;
}

static int set_rw(struct parsing *p, const char *value)
{
	(void)value;
	p->options->read_only = false;
	return 0;
}

static int set_allow_other(struct parsing *p, const char *value)
{
	(void)value;
	p->options->allow_other = true;
	return 0;
}

static int set_default_permissions(struct parsing *p, const char *value)
{
	(void)value;
	p->options->default_permissions = true;
	return 0;
}

/* What mount(8) and fstab say that means nothing here. */
static int ignore(struct parsing *p, const char *value)
{
	(void)p;
	(void)value;
	return 0;
}

struct mount_option {
	const char *name;
	bool has_value;
	bool passed_on; /* to the kernel or fusermount3, as it stands */
	int (*set)(struct parsing *p, const char *value);
};

static const struct mount_option mount_option_table[] = {
	{ "allow_other", false, false, set_allow_other },
	{ "allow_root", false, true, NULL },
	{ "atime", false, true, NULL },
	{ "attr_timeout", true, false, set_attr_timeout },
	{ "auto", false, false, ignore },
	{ "auto_unmount", false, true, NULL },
	{ "async", false, true, NULL },
	{ "default_permissions", false, false, set_default_permissions },
	{ "defaults", false, false, ignore },
	{ "dev", false, true, NULL },
	{ "exec", false, true, NULL },
	{ "fsname", true, false, set_fsname },
	{ "gid", true, false, set_gid },
	{ "log", true, false, set_log },
	{ "log_level", true, false, set_log_level },
	{ "_netdev", false, false, ignore },
	{ "noatime", false, true, NULL },
	{ "noauto", false, false, ignore },
	{ "nodev", false, true, NULL },
	{ "noexec", false, true, NULL },
	{ "nofail", false, false, ignore },
	{ "nosuid", false, true, NULL },
	{ "nouser", false, false, ignore },
	{ "ro", false, false, set_ro },
	{ "rw", false, false, set_rw },
	{ "staging", true, false, set_staging },
	{ "suid", false, true, NULL },
	{ "timeout", true, false, set_timeout },
	{ "token_file", true, false, set_token_file },
	{ "uid", true, false, set_uid },
	{ "umask", true, false, set_umask },
	{ "user", false, false, ignore },
	{ "users", false, false, ignore },
};

static const struct mount_option *find_option(const char *name)
{
	size_t count = sizeof(mount_option_table) / sizeof(mount_option_table[0]);

	for (size_t i = 0; i < count; i++)
		if (strcmp(mount_option_table[i].name, name) == 0)
			return &mount_option_table[i];
	return NULL;
}

static int set_one(struct parsing *p, char *text)
{
	const struct mount_option *option;
	char *value = strchr(text, '=');

	if (value)
		*value++ = '\0';
	option = find_option(text);
	if (!option && strncmp(text, "x-", 2) == 0)
		return 0;
	if (!option)
		return complain("unknown mount option '%s'; %s --help lists them", text, PROGRAM);
	if (option->has_value && (!value || !*value))
		return complain("the mount option %s needs a value: -o %s=...", text, text);
	if (!option->has_value && value)
		return complain("the mount option %s takes no value", text);
	if (option->passed_on)
		return buf_printf(&p->passed_on, "%s%s", p->passed_on.len ? "," : "", text);
	return option->set(p, value);
}

static int set_all(struct parsing *p, char *text)
{
	char *save = NULL;
	int r = 0;

	for (char *one = strtok_r(text, ",", &save); one && r == 0;
	     one = strtok_r(NULL, ",", &save))
		r = set_one(p, one);
	return r;
}

/* lib/options keeps the last of several -o: this joins them into one. */
static int join_o(int *argc, char **argv, struct buf *joined)
{
	int kept = 1;
	bool ended = false;

	for (int i = 1; i < *argc; i++) {
		const char *value = NULL;

		ended = ended || strcmp(argv[i], "--") == 0;
		if (!ended && strcmp(argv[i], "-o") == 0 && i + 1 < *argc)
			value = argv[++i];
		else if (!ended && strncmp(argv[i], "-o", 2) == 0 && argv[i][2])
			value = argv[i] + 2;
		if (!value)
			argv[kept++] = argv[i];
		else if (buf_printf(joined, "%s%s", joined->len ? "," : "", value) < 0)
			return -ENOMEM;
	}
	*argc = kept;
	argv[kept] = NULL;
	return buf_append_u8(joined, 0);
}

static int check_url(struct mount_options *options, char *url)
{
	size_t len = strlen(url);

	if (strncmp(url, "http://", 7) != 0 || len == 7)
		return complain("the URL must look like http://127.0.0.1:8080, not '%s'", url);
	while (len > 8 && url[len - 1] == '/')
		url[--len] = '\0';
	if (strpbrk(url + 7, "/?#@ "))
		return complain(
			"the URL has nothing behind its port: http://127.0.0.1:8080, not '%s'",
			url);
	options->url = url;
	if (!options->fsname)
		options->fsname = url;
	return 0;
}

static int check_mountpoint(struct mount_options *options, const char *path)
{
	struct stat st;
	char *absolute;

	if (stat(path, &st) < 0) {
		if (errno == ENOTCONN)
			return complain("'%s' is a mount whose program died; take it off with "
					"'fusermount3 -u %s' first",
					path, path);
		return complain("the mount point '%s' can't be used (%s)", path, strerror(errno));
	}
	if (!S_ISDIR(st.st_mode))
		return complain("the mount point '%s' is not a directory", path);
	absolute = realpath(path, NULL);
	if (!absolute)
		return complain("the mount point '%s' can't be used (%s)", path, strerror(errno));
	options->mountpoint = own(options, absolute);
	return 0;
}

static const char *staging_default(void)
{
	const char *dir = getenv("TMPDIR");

	/* Not /tmp: it may be memory, and content waits there until it is stored. */
	return dir && *dir ? dir : "/var/tmp";
}

static int finish(struct parsing *p, char **operands, int count)
{
	struct mount_options *options = p->options;
	int r;

	if (count != 2)
		return complain("needs a URL and a mount point: %s http://127.0.0.1:8080 DIR",
				PROGRAM);
	r = check_url(options, operands[0]);
	if (r == 0)
		r = check_mountpoint(options, operands[1]);
	if (r == 0 && !options->staging)
		r = set_staging(p, staging_default());
	if (r == 0)
		r = buf_append_u8(&p->passed_on, 0);
	options->passed_on = own(options, (char *)p->passed_on.data);
	/* Otherwise everybody might write everything. */
	options->default_permissions |= options->allow_other;
	return r;
}

/* The heading of the last group in --help: the group before it has a table of its own, above. */
static const char mount_options_help[] =
	"Mount options (-o)\n"
	"  timeout=SECONDS             how long to wait for a cluster that is away "
	"(20)\n"
	"  attr_timeout=SECONDS        how old names and sizes may be, at most 1 (1)\n"
	"  staging=DIR                 where unsaved content waits ($TMPDIR or "
	"/var/tmp)\n"
	"  token_file=FILE             show its first line as bearer token\n"
	"  uid=N gid=N umask=OCTAL     owner and permissions shown (yours, 022)\n"
	"  allow_other                 let other users in; implies "
	"default_permissions\n"
	"  default_permissions         let the kernel check permissions\n"
	"  ro                          refuse changes\n"
	"  log=FILE                    append the log there\n"
	"  log_level=LEVEL             error, warn, info or debug (info)\n"
	"  fsname=NAME                 source in the list of mounts (the URL)\n"
	"  and those of mount(8): rw, nosuid, nodev, noexec, noatime, _netdev, ...\n\n"
	"Other";

/* The words that lib/options knows. -1: the program ends with *ret_exit. */
static int parse_words(struct parsing *p, int argc, char **argv, int *ret_first, int *ret_exit)
{
	const char *unused;
	const struct option_spec specs[] = {
		{ "foreground", 'f', OPTION_FLAG, &p->options->foreground, NULL,
		  "stay in the foreground", 0, 0 },
		{ "debug", 'd', OPTION_FLAG, &p->options->debug, NULL,
		  "log every request, and stay in the foreground", 0, 0 },
		{ "options", 'o', OPTION_STRING, &unused, "NAME[=VALUE],...",
		  "mount options, as follow", 0, 0 },
		{ NULL, 0, OPTION_GROUP, NULL, NULL, mount_options_help, 0, 0 },
	};
	const struct options table = {
		.program = PROGRAM,
		.summary = "Mounts a hexkv cluster: one directory, a file a record.",
		.operands = "URL MOUNTPOINT",
		.specs = specs,
		.spec_count = sizeof(specs) / sizeof(specs[0]),
	};
	char *plain_help[] = { argv[0], (char[]){ "--help" }, NULL };

	/* Nobody expects -h to be anything else. */
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "-h") == 0)
			return options_parse(&table, 2, plain_help, ret_first, ret_exit);
	return options_parse(&table, argc, argv, ret_first, ret_exit);
}

int mount_options_parse(int argc, char **argv, struct mount_options *ret_options, int *ret_exit)
{
	struct mount_options options = {
		.uid = getuid(),
		.gid = getgid(),
		.umask = 022,
		.timeout_ms = TIMEOUT_MS,
		.attr_timeout_ms = 1000,
	};
	struct parsing p = { .options = &options, .log_level = LOG_LEVEL_INFO };
	struct buf joined = { 0 };
	int first = 0, r;

	r = join_o(&argc, argv, &joined);
	own(&options, (char *)joined.data);
	if (r == 0 && parse_words(&p, argc, argv, &first, ret_exit) != 0) {
		mount_options_deinit(&options);
		return 1;
	}
	if (r == 0)
		r = set_all(&p, (char *)joined.data);
	if (r == 0)
		r = finish(&p, argv + first, argc - first);
	if (r < 0) {
		mount_options_deinit(&options);
		*ret_exit = EXIT_BAD_ARGUMENTS;
		return 1;
	}
	options.foreground |= options.debug;
	log_init(PROGRAM, options.debug ? LOG_LEVEL_DEBUG : p.log_level);
	*ret_options = options;
	return 0;
}
