/* SPDX-License-Identifier: MIT */
#include "fs/mount_url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define EXAMPLE "as in http://127.0.0.1:8080"

/* "[ADDRESS]"; a zone (%eth0) may follow the address. */
static bool is_bracketed_address(const char *host, size_t len)
{
	char text[64];
	struct in6_addr address;

	if (len < 4 || len >= sizeof(text) || host[len - 1] != ']')
		return false;
	memcpy(text, host + 1, len - 2);
	text[len - 2] = '\0';
	text[strcspn(text, "%")] = '\0';
	return inet_pton(AF_INET6, text, &address) == 1;
}

static const char *host_complaint(const char *host, size_t len)
{
	if (len == 0)
		return "it names no host, " EXAMPLE;
	if (host[0] == '[')
		return is_bracketed_address(host, len)
			       ? NULL
			       : "what is in its brackets is no IPv6 address, as in "
				 "http://[::1]:8080";
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)host[i]) && !strchr("-._", host[i]))
			return "its host has a character that no host name has";
	return NULL;
}

static const char *port_complaint(const char *port)
{
	size_t digits = strspn(port, "0123456789");
	long number = strtol(port, NULL, 10);

	if (digits == 0 || digits > 5 || port[digits] || number < 1 || number > 65535)
		return "its port is not a number from 1 to 65535";
	return NULL;
}

/* HOST, HOST:PORT. */
static const char *authority_complaint(const char *authority, size_t len)
{
	char text[300];
	const char *bracket, *colon, *complaint;

	if (len >= sizeof(text))
		return "its host name is too long";
	memcpy(text, authority, len);
	text[len] = '\0';
	bracket = text[0] == '[' ? strchr(text, ']') : NULL;
	colon = strchr(bracket ? bracket : text, ':');
	if (!bracket && colon && strchr(colon + 1, ':'))
		return "an IPv6 address stands in brackets, as in http://[::1]:8080";
	complaint = host_complaint(text, colon ? (size_t)(colon - text) : len);
	return complaint || !colon ? complaint : port_complaint(colon + 1);
}

const char *mount_url_complaint(const char *url)
{
	const char *authority, *rest;
	size_t len;

	if (strncasecmp(url, "https://", 8) == 0)
		return "https is not spoken; use http:// on a network you trust, or through a "
		       "tunnel";
	if (!strstr(url, "://"))
		return "a URL begins with http://, " EXAMPLE;
	if (strncmp(url, "http://", 7) != 0)
		return "only http:// is spoken, " EXAMPLE;
	authority = url + 7;
	len = strcspn(authority, "/?#");
	if (memchr(authority, '@', len))
		return "it can't hold a user or password; a token goes into a file, see -o "
		       "token_file";
	rest = authority + len;
	if (rest[strspn(rest, "/")])
		return "nothing follows its port, " EXAMPLE;
	return authority_complaint(authority, len);
}
