/* JSON as nestbox writes it: RFC 8259. */
#pragma once
#include "native.h"

/* A value as it stands in its text; `at` is NULL where there is none. */
struct json {
	const char *at;
	size_t length;
};

/* The values of the members of an object that have these names, up to a NULL; of one that is there twice the last, as JSON.parse() has it. 0: it is not one object and nothing else,
 * or one with more in it than is read here: a name with an escape, or tables in tables without end. */
int json_members(struct json object_, const char *const *names, struct json *values);
