/* SPDX-License-Identifier: MIT */
#include "lib/http_address.h"

#include "lib/log.h"
#include "lib/mutex.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More than a cluster has nodes; beyond, names go without. */
#define NAMES_MAX 4096

struct known_address {
	struct known_address *next;
	char address[INET6_ADDRSTRLEN + 16]; /* with a zone */
	char authority[]; /* name and port */
};

static struct mutex lock = { PTHREAD_MUTEX_INITIALIZER };
/* Protected by lock. */
static struct known_address *known;
static unsigned known_count;

/* Of a URL of ours, whose host is a name. */
static const char *named_authority(CURL *easy, size_t *ret_len)
{
	const char *url = NULL;
	struct in_addr four;
	char host[64];
	size_t len;

	if (curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url) != CURLE_OK || !url)
		return NULL;
	url = strstr(url, "://");
	if (!url)
		return NULL;
	url += 3;
	*ret_len = strcspn(url, "/?#");
	len = strcspn(url, ":/?#");
	if (url[0] == '[' || len == 0)
		return NULL;
	snprintf(host, sizeof(host), "%.*s", (int)len, url);
	return inet_pton(AF_INET, host, &four) == 1 ? NULL : url;
}

static struct known_address *find_locked(const char *authority, size_t len) REQUIRES(&lock)
{
	struct known_address *at = known;

	while (at && (strlen(at->authority) != len || memcmp(at->authority, authority, len) != 0))
		at = at->next;
	return at;
}

static struct known_address *add_locked(const char *authority, size_t len) REQUIRES(&lock)
{
	struct known_address *added = NULL;

	if (known_count < NAMES_MAX)
		added = calloc(1, sizeof(*added) + len + 1);
	if (!added)
		return NULL;
	memcpy(added->authority, authority, len);
	added->next = known;
	known = added;
	known_count++;
	return added;
}

void http_address_note(CURL *easy)
{
	struct known_address *entry;
	const char *authority, *address = NULL;
	long connects = 0;
	size_t len;

	if (curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connects) != CURLE_OK || connects == 0)
		return;
	authority = named_authority(easy, &len);
	if (!authority || curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &address) != CURLE_OK ||
	    !address || !*address || strlen(address) >= sizeof(entry->address))
		return;
	mutex_lock(&lock);
	entry = find_locked(authority, len);
	if (!entry)
		entry = add_locked(authority, len);
	if (entry)
		strcpy(entry->address, address);
	mutex_unlock(&lock);
}

/* Also if the resolver has not answered in time. */
static bool has_no_address(CURL *easy, CURLcode code)
{
	curl_off_t lookup_us = 0;

	if (code == CURLE_COULDNT_RESOLVE_HOST)
		return true;
	return code == CURLE_OPERATION_TIMEDOUT &&
	       curl_easy_getinfo(easy, CURLINFO_NAMELOOKUP_TIME_T, &lookup_us) == CURLE_OK &&
	       lookup_us == 0;
}

bool http_address_fall_back(CURL *easy, CURLcode code, struct curl_slist **ret_list)
{
	char line[INET6_ADDRSTRLEN + 32];
	struct curl_slist *list = NULL;
	const struct known_address *entry;
	const char *authority;
	size_t len;

	if (!has_no_address(easy, code))
		return false;
	authority = named_authority(easy, &len);
	if (!authority)
		return false;
	mutex_lock(&lock);
	entry = find_locked(authority, len);
	/* Of any host and port: to this host, and the same port. */
	if (entry && strchr(entry->address, ':'))
		snprintf(line, sizeof(line), "::[%s]:", entry->address);
	else if (entry)
		snprintf(line, sizeof(line), "::%s:", entry->address);
	mutex_unlock(&lock);
	if (entry)
		list = curl_slist_append(NULL, line);
	if (!list)
		return false;
	if (curl_easy_setopt(easy, CURLOPT_CONNECT_TO, list) != CURLE_OK) {
		curl_slist_free_all(list);
		return false;
	}
	log_debug("a name does not resolve", "authority=%.*s tries=%s", (int)len, authority, line);
	*ret_list = list;
	return true;
}
