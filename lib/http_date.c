/* SPDX-License-Identifier: MIT */
/*
 * The calendar is computed here because gmtime_r() takes a process-wide lock and every answer
 * carries a date.
 */
#include "lib/http_date.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#define SECONDS_MIN (-62167219200) /* 0000-01-01T00:00:00Z */
#define SECONDS_MAX 253402300799 /* 9999-12-31T23:59:59Z */
#define DAY_SECONDS 86400

static const char day_names[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char *const long_day_names[7] = { "Sunday",   "Monday", "Tuesday", "Wednesday",
					       "Thursday", "Friday", "Saturday" };
static const char month_names[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

struct date {
	int year, month, day; /* month and day from 1 */
	int hour, minute, second;
};

static bool is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int month_days(int year, int month)
{
	static const int days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 0000-01-01 to the start of @year. */
static int64_t days_before_year(int year)
{
	int64_t y = year - 1;

	if (year == 0)
		return 0;
	/* Year 0 is a leap year. */
	return 366 + y * 365 + y / 4 - y / 100 + y / 400;
}

static int64_t date_to_seconds(const struct date *date)
{
	int64_t days = days_before_year(date->year) + date->day - 1;

	for (int month = 1; month < date->month; month++)
		days += month_days(date->year, month);
	return SECONDS_MIN + days * DAY_SECONDS + date->hour * 3600 + date->minute * 60 +
	       date->second;
}

/* @seconds from 0000-01-01 on. */
static void date_from_seconds(int64_t seconds, struct date *ret_date)
{
	int64_t days = seconds / DAY_SECONDS;
	int rest = (int)(seconds % DAY_SECONDS);
	int year = (int)(days / 366);
	int month = 1;

	while (days_before_year(year + 1) <= days)
		year++;
	days -= days_before_year(year);
	while (days >= month_days(year, month)) {
		days -= month_days(year, month);
		month++;
	}
	*ret_date = (struct date){
		.year = year,
		.month = month,
		.day = (int)days + 1,
		.hour = rest / 3600,
		.minute = rest / 60 % 60,
		.second = rest % 60,
	};
}

static char *put_digits(char *at, int value, int digits)
{
	for (int i = digits - 1; i >= 0; i--) {
		at[i] = (char)('0' + value % 10);
		value /= 10;
	}
	return at + digits;
}

static char *put_text(char *at, const char *text)
{
	size_t len = strlen(text);

	memcpy(at, text, len);
	return at + len;
}

void http_date_format(int64_t seconds, char ret_text[HTTP_DATE_BYTES_MAX])
{
	char *at = ret_text;
	struct date date;

	if (seconds < SECONDS_MIN)
		seconds = SECONDS_MIN;
	if (seconds > SECONDS_MAX)
		seconds = SECONDS_MAX;
	seconds -= SECONDS_MIN;
	date_from_seconds(seconds, &date);
	/* 0000-01-01 was a Saturday. */
	at = put_text(at, day_names[(seconds / DAY_SECONDS + 6) % 7]);
	at = put_text(at, ", ");
	at = put_digits(at, date.day, 2);
	at = put_text(at, " ");
	at = put_text(at, month_names[date.month - 1]);
	at = put_text(at, " ");
	at = put_digits(at, date.year, 4);
	at = put_text(at, " ");
	at = put_digits(at, date.hour, 2);
	at = put_text(at, ":");
	at = put_digits(at, date.minute, 2);
	at = put_text(at, ":");
	at = put_digits(at, date.second, 2);
	at = put_text(at, " GMT");
	*at = '\0';
}

static bool take_text(const char **at, const char *text)
{
	size_t len = strlen(text);

	if (strncmp(*at, text, len) != 0)
		return false;
	*at += len;
	return true;
}

static bool take_digits(const char **at, int digits, int *ret_value)
{
	int value = 0;

	for (int i = 0; i < digits; i++) {
		if ((*at)[i] < '0' || (*at)[i] > '9')
			return false;
		value = value * 10 + ((*at)[i] - '0');
	}
	*at += digits;
	*ret_value = value;
	return true;
}

static bool take_month(const char **at, int *ret_month)
{
	for (int i = 0; i < 12; i++) {
		if (take_text(at, month_names[i])) {
			*ret_month = i + 1;
			return true;
		}
	}
	return false;
}

static bool take_time(const char **at, struct date *date)
{
	return take_digits(at, 2, &date->hour) && take_text(at, ":") &&
	       take_digits(at, 2, &date->minute) && take_text(at, ":") &&
	       take_digits(at, 2, &date->second);
}

/* "06 Nov 1994 08:49:37 GMT" */
static bool take_imf_rest(const char *at, struct date *date)
{
	return take_digits(&at, 2, &date->day) && take_text(&at, " ") &&
	       take_month(&at, &date->month) && take_text(&at, " ") &&
	       take_digits(&at, 4, &date->year) && take_text(&at, " ") && take_time(&at, date) &&
	       take_text(&at, " GMT") && *at == '\0';
}

/* "06-Nov-94 08:49:37 GMT" */
static bool take_rfc850_rest(const char *at, struct date *date)
{
	if (!take_digits(&at, 2, &date->day) || !take_text(&at, "-") ||
	    !take_month(&at, &date->month) || !take_text(&at, "-") ||
	    !take_digits(&at, 2, &date->year) || !take_text(&at, " ") || !take_time(&at, date) ||
	    !take_text(&at, " GMT") || *at != '\0')
		return false;
	return true;
}

/* "Nov  6 08:49:37 1994" */
static bool take_asctime_rest(const char *at, struct date *date)
{
	if (!take_month(&at, &date->month) || !take_text(&at, " "))
		return false;
	if (!(take_text(&at, " ") ? take_digits(&at, 1, &date->day)
				  : take_digits(&at, 2, &date->day)))
		return false;
	return take_text(&at, " ") && take_time(&at, date) && take_text(&at, " ") &&
	       take_digits(&at, 4, &date->year) && *at == '\0';
}

/* Two digits name the most recent such year, or one at most 50 years ahead. */
static int widen_year(int two_digits)
{
	struct date now;
	int year;

	date_from_seconds((int64_t)time(NULL) - SECONDS_MIN, &now);
	year = now.year - now.year % 100 + two_digits;
	if (year > now.year + 50)
		year -= 100;
	return year;
}

static bool take_date(const char *text, struct date *date)
{
	const char *at = text;

	for (size_t i = 0; i < 7; i++) {
		at = text;
		if (take_text(&at, long_day_names[i]) && take_text(&at, ", ")) {
			if (!take_rfc850_rest(at, date))
				return false;
			date->year = widen_year(date->year);
			return true;
		}
		at = text;
		if (!take_text(&at, day_names[i]))
			continue;
		if (take_text(&at, ", "))
			return take_imf_rest(at, date);
		return take_text(&at, " ") && take_asctime_rest(at, date);
	}
	return false;
}

int http_date_parse(const char *text, int64_t *ret_seconds)
{
	struct date date;

	if (!take_date(text, &date))
		return -EINVAL;
	if (date.day < 1 || date.day > month_days(date.year, date.month))
		return -EINVAL;
	/* 60 is a leap second. */
	if (date.hour > 23 || date.minute > 59 || date.second > 60)
		return -EINVAL;
	*ret_seconds = date_to_seconds(&date);
	return 0;
}
