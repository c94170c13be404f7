/* SPDX-License-Identifier: MIT */
#include "fs/mount_options.h"

#include "fs/complain.h"
#include "fs/mount_url.h"
#include "fs/mountpoint.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/options.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAGING_BYTES_MIN  (1024 * 1024) /* less would hinder small files */
#define PROGRAM            "hexkv-fs"
#define EXIT_BAD_ARGUMENTS 2
#define TIMEOUT_MS         20000
#define ATTR_TIMEOUT_S_MAX 1
#define FUSE_CONF          "/etc/fuse.conf"
#define MODE_OF_UMASK      ULONG_MAX

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
	enum log_level log_level;
	unsigned long umask;
	unsigned long fmode, dmode; /* MODE_OF_UMASK: what the umask leaves */
	bool over_files;
	bool sloppy; /* as mount -s: what is unknown is passed over */
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
	return parse_number("umask", value, 8, 0777, &p->umask);
}

static int set_fmode(struct parsing *p, const char *value)
{
	return parse_number("fmode", value, 8, 0777, &p->fmode);
}

static int set_dmode(struct parsing *p, const char *value)
{
	return parse_number("dmode", value, 8, 0777, &p->dmode);
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

static int set_conflict(struct parsing *p, const char *value)
{
	p->options->conflict_estale = strcmp(value, "estale") == 0;
	if (!p->options->conflict_estale && strcmp(value, "overwrite") != 0)
		return complain("-o conflict is overwrite or estale, not '%s'", value);
	return 0;
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

static int set_staging_size(struct parsing *p, const char *value)
{
	uint64_t bytes;

	if (parse_size(value, &bytes) < 0 || bytes < STAGING_BYTES_MIN)
		return complain("-o staging_size needs at least 1M bytes, with K, M or G, not '%s'",
				value);
	p->options->staging_bytes = bytes;
	return 0;
}

static int set_token_file(struct parsing *p, const char *value)
{
	char *token;
	int r = read_token_file(value, &token);

	if (r < 0)
		return complain("the token file '%s' can't be used (%s)", value,
				r == -EINVAL ? "its first line is no token" : strerror(-r));
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

static int set_allow_root(struct parsing *p, const char *value)
{
	(void)value;
	p->options->allow_root = true;
	return 0;
}

static int set_nonempty(struct parsing *p, const char *value)
{
	(void)value;
	p->over_files = true;
	return 0;
}

static int set_sloppy(struct parsing *p, const char *value)
{
	(void)value;
	p->sloppy = true;
	return 0;
}

/* What mount(8) and fstab say that means nothing here. */
static int ignore(struct parsing *p, const char *value)
{
	(void)p;
	(void)value;
	return 0;
}

enum option_value { VALUE_NONE, VALUE_NEEDED, VALUE_ALLOWED };

struct mount_option {
	const char *name;
	enum option_value value;
	int (*set)(struct parsing *p, const char *value); /* NULL: passed on as it stands, to the
							     kernel or fusermount3 */
};

static const struct mount_option mount_option_table[] = {
	{ "allow_other", VALUE_NONE, set_allow_other },
	{ "allow_root", VALUE_NONE, set_allow_root },
	{ "attr_timeout", VALUE_NEEDED, set_attr_timeout },
	{ "conflict", VALUE_NEEDED, set_conflict },
	{ "default_permissions", VALUE_NONE, set_default_permissions },
	{ "dmode", VALUE_NEEDED, set_dmode },
	{ "fmode", VALUE_NEEDED, set_fmode },
	{ "fsname", VALUE_NEEDED, set_fsname },
	{ "gid", VALUE_NEEDED, set_gid },
	{ "log", VALUE_NEEDED, set_log },
	{ "log_level", VALUE_NEEDED, set_log_level },
	{ "nonempty", VALUE_NONE, set_nonempty },
	{ "ro", VALUE_NONE, set_ro },
	{ "rw", VALUE_NONE, set_rw },
	{ "sloppy", VALUE_NONE, set_sloppy },
	{ "staging", VALUE_NEEDED, set_staging },
	{ "staging_size", VALUE_NEEDED, set_staging_size },
	{ "timeout", VALUE_NEEDED, set_timeout },
	{ "token_file", VALUE_NEEDED, set_token_file },
	{ "uid", VALUE_NEEDED, set_uid },
	{ "umask", VALUE_NEEDED, set_umask },

	{ "async", VALUE_NONE, NULL },
	{ "auto_unmount", VALUE_NONE, NULL },
	{ "context", VALUE_NEEDED, NULL },
	{ "defcontext", VALUE_NEEDED, NULL },
	{ "dev", VALUE_NONE, NULL },
	{ "dirsync", VALUE_NONE, NULL },
	{ "exec", VALUE_NONE, NULL },
	{ "fscontext", VALUE_NEEDED, NULL },
	{ "noatime", VALUE_NONE, NULL },
	{ "nodev", VALUE_NONE, NULL },
	{ "noexec", VALUE_NONE, NULL },
	{ "nosuid", VALUE_NONE, NULL },
	{ "rootcontext", VALUE_NEEDED, NULL },
	{ "suid", VALUE_NONE, NULL },
	{ "sync", VALUE_NONE, NULL },

	/* For mount(8) and whoever else reads fstab. Times of access are not kept. */
	{ "atime", VALUE_NONE, ignore },
	{ "auto", VALUE_NONE, ignore },
	{ "comment", VALUE_ALLOWED, ignore },
	{ "defaults", VALUE_NONE, ignore },
	{ "diratime", VALUE_NONE, ignore },
	{ "group", VALUE_NONE, ignore },
	{ "iversion", VALUE_NONE, ignore },
	{ "lazytime", VALUE_NONE, ignore },
	{ "loud", VALUE_NONE, ignore },
	{ "mand", VALUE_NONE, ignore },
	{ "_netdev", VALUE_NONE, ignore },
	{ "noauto", VALUE_NONE, ignore },
	{ "nodiratime", VALUE_NONE, ignore },
	{ "nofail", VALUE_NONE, ignore },
	{ "nogroup", VALUE_NONE, ignore },
	{ "noiversion", VALUE_NONE, ignore },
	{ "nolazytime", VALUE_NONE, ignore },
	{ "nomand", VALUE_NONE, ignore },
	{ "noowner", VALUE_NONE, ignore },
	{ "norelatime", VALUE_NONE, ignore },
	{ "nostrictatime", VALUE_NONE, ignore },
	{ "nouser", VALUE_NONE, ignore },
	{ "nousers", VALUE_NONE, ignore },
	{ "owner", VALUE_NONE, ignore },
	{ "relatime", VALUE_NONE, ignore },
	{ "silent", VALUE_NONE, ignore },
	{ "strictatime", VALUE_NONE, ignore },
	{ "user", VALUE_ALLOWED, ignore },
	{ "users", VALUE_NONE, ignore },
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
	if (!option && (p->sloppy || strncasecmp(text, "x-", 2) == 0))
		return 0;
	if (!option)
		return complain("unknown mount option '%s'; " PROGRAM " --help lists them", text);
	if (option->value == VALUE_NEEDED && (!value || !*value))
		return complain("the mount option %s needs a value: -o %s=...", text, text);
	if (option->value == VALUE_NONE && value)
		return complain("the mount option %s takes no value", text);
	if (option->set)
		return option->set(p, value);
	return buf_printf(&p->passed_on, "%s%s%s%s", p->passed_on.len ? "," : "", text,
			  value ? "=" : "", value ? value : "");
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

/* The source in the list of mounts is the URL as it was given: mount -a looks for it there. */
static int check_url(struct mount_options *options, const char *url)
{
	const char *complaint = mount_url_complaint(url);
	size_t len = strlen(url);
	char *plain;

	/* What holds a password is not shown. */
	if (complaint && strchr(url, '@'))
		return complain("the URL can't be mounted: %s", complaint);
	if (complaint)
		return complain("the URL '%s' can't be mounted: %s", url, complaint);
	while (url[len - 1] == '/')
		len--;
	plain = strndup(url, len);
	if (!plain)
		return -ENOMEM;
	options->url = own(options, plain);
	if (!options->fsname)
		options->fsname = url;
	return 0;
}

static const char *staging_default(void)
{
	const char *dir = getenv("TMPDIR");

	/* Not /tmp: it may be memory, and content waits there until it is stored. */
	return dir && *dir ? dir : "/var/tmp";
}

/* fusermount3 refuses it to anybody but root unless the machine allows it to all. */
static int check_allow_other(const struct mount_options *options)
{
	const char *name = options->allow_other ? "allow_other" : "allow_root";
	FILE *file;
	char *line = NULL;
	size_t size = 0;
	bool allowed = false;

	if (options->allow_other && options->allow_root)
		return complain("-o allow_other lets everybody in, allow_root only root; give one");
	if (geteuid() == 0 || (!options->allow_other && !options->allow_root))
		return 0;
	file = fopen(FUSE_CONF, "re");
	if (!file)
		return 0;
	while (!allowed && getline(&line, &size, file) > 0) {
		line[strcspn(line, " \t\n")] = '\0';
		allowed = strcmp(line, "user_allow_other") == 0;
	}
	free(line);
	fclose(file);
	if (allowed)
		return 0;
	return complain(
		"-o %s is for root alone until root adds the line 'user_allow_other' to " FUSE_CONF,
		name);
}

static int finish(struct parsing *p, char **operands, int count)
{
	struct mount_options *options = p->options;
	char *path = NULL;
	int r;

	if (count != 2)
		return complain("it needs a URL and a mount point: %s http://127.0.0.1:8080 DIR",
				program_invocation_short_name);
	r = check_url(options, operands[0]);
	if (r == 0)
		r = mountpoint_check(operands[1], p->over_files, &path);
	if (r == 0)
		options->mountpoint = own(options, path);
	if (r == 0 && !options->staging)
		r = set_staging(p, staging_default());
	if (r == 0)
		r = check_allow_other(options);
	if (r == 0)
		r = buf_append_u8(&p->passed_on, 0);
	options->passed_on = own(options, (char *)buf_take(&p->passed_on).data);
	options->file_mode =
		p->fmode == MODE_OF_UMASK ? 0666 & ~(unsigned)p->umask : (unsigned)p->fmode;
	options->directory_mode =
		p->dmode == MODE_OF_UMASK ? 0777 & ~(unsigned)p->umask : (unsigned)p->dmode;
	/* Otherwise everybody might write everything. */
	options->default_permissions |= options->allow_other;
	return r;
}

/* The heading of the last group in --help: the group before it has a table of its own, above. */
static const char mount_options_help[] =
	"Mount options (-o)\n"
	"  timeout=SECONDS             how long a call waits while nothing moves (20)\n"
	"  attr_timeout=SECONDS        how old names and sizes may be, at most 1 (1)\n"
	"  conflict=overwrite|estale   when a record has changed elsewhere since its file was "
	"opened,\n"
	"                              replace it, or fail with ESTALE (overwrite)\n"
	"  staging=DIR                 where unsaved content waits ($TMPDIR or /var/tmp)\n"
	"  staging_size=BYTES          how much may wait in all, with K, M or G (no bound)\n"
	"  token_file=FILE             show its first line as bearer token\n"
	"  uid=N                       shown as the owner (you)\n"
	"  gid=N                       shown as the group (yours)\n"
	"  umask=OCTAL                 permissions not shown (022)\n"
	"  fmode=OCTAL                 permissions of files (what umask leaves of 666)\n"
	"  dmode=OCTAL                 permissions of the directory (of 777)\n"
	"  allow_other                 let other users in; implies default_permissions\n"
	"  allow_root                  let root in, too\n"
	"  default_permissions         let the kernel check permissions\n"
	"  ro                          refuse changes\n"
	"  nonempty                    mount over a directory that has files\n"
	"  auto_unmount                unmount when the program dies\n"
	"  log=FILE                    append the log there\n"
	"  log_level=LEVEL             error, warn, info or debug (info)\n"
	"  fsname=NAME                 source in the list of mounts (the URL)\n"
	"  and those of mount(8): rw, noatime, nodev, noexec, nosuid, sync, _netdev, user, ...\n\n"
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
		  "mount options, see below", 0, 0 },
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
		.timeout_ms = TIMEOUT_MS,
		.attr_timeout_ms = 1000,
	};
	struct parsing p = {
		.options = &options,
		.log_level = LOG_LEVEL_INFO,
		.umask = 022,
		.fmode = MODE_OF_UMASK,
		.dmode = MODE_OF_UMASK,
	};
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
	buf_deinit(&p.passed_on);
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
