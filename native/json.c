/* No more is taken than JSON.parse() takes, and nothing is made of it: who asks gets the part of the text that a value is. */
#include "json.h"

enum { DEEPEST = 64 };

struct cursor {
	const char *at, *end;
};

static int value(struct cursor *cursor, int depth);

static void blanks(struct cursor *cursor) {
	while (cursor->at < cursor->end && memchr(" \t\r\n", *cursor->at, 4))
		cursor->at++;
}

static int take(struct cursor *cursor, const char *word) {
	size_t length = strlen(word);
	if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, word, length) != 0)
		return 0;
	cursor->at += length;
	return 1;
}

/* How many of these characters stand there. */
static int run_of(struct cursor *cursor, const char *characters) {
	const char *from = cursor->at;
	while (cursor->at < cursor->end && *cursor->at && strchr(characters, *cursor->at))
		cursor->at++;
	return (int)(cursor->at - from);
}

static int escape(struct cursor *cursor) {
	if (take(cursor, "u")) {
		struct cursor digits = { cursor->at, cursor->end - cursor->at < 4 ? cursor->end : cursor->at + 4 };
		cursor->at = digits.end;
		return run_of(&digits, "0123456789abcdefABCDEF") == 4;
	}
	return cursor->at < cursor->end && memchr("\"\\/bfnrt", *cursor->at++, 8) != NULL;
}

static int string(struct cursor *cursor) {
	if (!take(cursor, "\""))
		return 0;
	while (cursor->at < cursor->end && *cursor->at != '"') {
		unsigned char byte = (unsigned char)*cursor->at++;
		if (byte < 0x20 || (byte == '\\' && !escape(cursor)))
			return 0;
	}
	return take(cursor, "\"");
}

static int number_(struct cursor *cursor) {
	static const char digits[] = "0123456789";
	take(cursor, "-");
	if (!take(cursor, "0") && run_of(cursor, digits) == 0)
		return 0;
	if (take(cursor, ".") && run_of(cursor, digits) == 0)
		return 0;
	if (!take(cursor, "e") && !take(cursor, "E"))
		return 1;
	if (!take(cursor, "+"))
		take(cursor, "-");
	return run_of(cursor, digits) > 0;
}

/* Keeps the value where its name, which stands between the two, is one that was asked for. */
static void keep(const char *name, const char *end, struct json found, const char *const *names, struct json *values) {
	for (int i = 0; names[i]; i++)
		if (strlen(names[i]) == (size_t)(end - name) && memcmp(names[i], name, strlen(names[i])) == 0)
			values[i] = found;
}

/* A member of an object that has `names`; another object's is taken for nothing but its length. */
static int member(struct cursor *cursor, int depth, const char *const *names, struct json *values) {
	const char *name = cursor->at + 1;
	if (!string(cursor))
		return 0;
	const char *end = cursor->at - 1;
	blanks(cursor);
	if ((names && memchr(name, '\\', (size_t)(end - name))) || !take(cursor, ":"))
		return 0;
	blanks(cursor);
	const char *from = cursor->at;
	if (!value(cursor, depth))
		return 0;
	if (names)
		keep(name, end, (struct json){ from, (size_t)(cursor->at - from) }, names, values);
	return 1;
}

/* An array's values, or an object's members: what stands between these two, with commas. */
static int list_of(struct cursor *cursor, const char *opening, const char *closing, int depth, const char *const *names, struct json *values) {
	if (!take(cursor, opening))
		return 0;
	blanks(cursor);
	if (take(cursor, closing))
		return 1;
	do {
		blanks(cursor);
		if (*opening == '{' ? !member(cursor, depth, names, values) : !value(cursor, depth))
			return 0;
		blanks(cursor);
	} while (take(cursor, ","));
	return take(cursor, closing);
}

static int value(struct cursor *cursor, int depth) {
	if (depth == DEEPEST || cursor->at == cursor->end)
		return 0;
	switch (*cursor->at) {
	case '{': return list_of(cursor, "{", "}", depth + 1, NULL, NULL);
	case '[': return list_of(cursor, "[", "]", depth + 1, NULL, NULL);
	case '"': return string(cursor);
	case 't': return take(cursor, "true");
	case 'f': return take(cursor, "false");
	case 'n': return take(cursor, "null");
	default: return number_(cursor);
	}
}

int json_members(struct json object_, const char *const *names, struct json *values) {
	struct cursor cursor = { object_.at, object_.at + object_.length };
	for (int i = 0; names[i]; i++)
		values[i] = (struct json){ 0 };
	blanks(&cursor);
	if (!list_of(&cursor, "{", "}", 0, names, values))
		return 0;
	blanks(&cursor);
	return cursor.at == cursor.end;
}
