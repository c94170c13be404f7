/* SPDX-License-Identifier: MIT */
#include "fs/mount_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void what_names_a_host_and_perhaps_a_port_can_be_mounted(void **state)
{
	static const char *const good[] = {
		"http://127.0.0.1:8080", "http://127.0.0.1:8080/", "http://router.example.org",
		"http://localhost:1//",  "http://[::1]:8080",      "http://[fe80::1%eth0]:65535/",
		"http://[::1]",          "http://a_b-c:80",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (mount_url_complaint(good[i]))
			fail_msg("%s: %s", good[i], mount_url_complaint(good[i]));
}

static void what_is_wrong_is_named(void **state)
{
	static const struct {
		const char *url, *part;
	} wrong[] = {
		{ "", "begins with http://" },
		{ "127.0.0.1:8080", "begins with http://" },
		{ "router", "begins with http://" },
		{ "https://127.0.0.1:8080", "https is not spoken" },
		{ "HTTPS://127.0.0.1:8080", "https is not spoken" },
		{ "ftp://127.0.0.1", "only http://" },
		{ "http://me:secret@127.0.0.1:8080", "token" },
		{ "http://me@127.0.0.1", "token" },
		{ "http://127.0.0.1:8080/kv", "follows its port" },
		{ "http://127.0.0.1:8080?x", "follows its port" },
		{ "http://127.0.0.1:8080/#x", "follows its port" },
		{ "http://::1:8080", "brackets" },
		{ "http://fe80::1", "brackets" },
		{ "http://[::1", "brackets" },
		{ "http://[nonsense]:8080", "no IPv6 address" },
		{ "http://[]:8080", "no IPv6 address" },
		{ "http://", "no host" },
		{ "http://:8080", "no host" },
		{ "http:///", "no host" },
		{ "http://127.0.0.1:", "port" },
		{ "http://127.0.0.1:0", "port" },
		{ "http://127.0.0.1:65536", "port" },
		{ "http://127.0.0.1:http", "port" },
		{ "http://127.0.0.1:-1", "port" },
		{ "http://a b", "character" },
		{ "http://a\"b", "character" },
		{ "http://a\nb", "character" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const char *complaint = mount_url_complaint(wrong[i].url);

		if (!complaint || !strstr(complaint, wrong[i].part))
			fail_msg("%s: %s", wrong[i].url, complaint ? complaint : "(good)");
	}
}

static void a_name_that_never_ends_is_too_long(void **state)
{
	char url[1000] = "http://";

	(void)state;
	memset(url + 7, 'a', sizeof(url) - 8);
	assert_non_null(mount_url_complaint(url));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_names_a_host_and_perhaps_a_port_can_be_mounted),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(a_name_that_never_ends_is_too_long),
	};

	return cmocka_run_group_tests_name("fs_mount_url", tests, NULL, NULL);
}
