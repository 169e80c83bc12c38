/* become.node: execve(2) for a run that Node has looked at and that goes on without it. process.execve() is of Node 22.15 and later.
 * Node-API (nodejs.org/api/n-api.html), of which only what is used is declared: its header is in a package of its own. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct napi_env__ *napi_env;
typedef struct napi_value__ *napi_value;
typedef struct napi_callback_info__ *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env env, napi_callback_info info);

int napi_create_function(napi_env env, const char *name, size_t length, napi_callback callback, void *data, napi_value *result);
int napi_get_cb_info(napi_env env, napi_callback_info info, size_t *count, napi_value *words, napi_value *self, void **data);
int napi_get_array_length(napi_env env, napi_value array, uint32_t *length);
int napi_get_element(napi_env env, napi_value array, uint32_t i, napi_value *result);
int napi_get_value_string_utf8(napi_env env, napi_value value, char *text, size_t size, size_t *length);

/* NULL: it is no text. */
static char *text_of(napi_env env, napi_value value) {
	size_t length;
	if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != 0)
		return NULL;
	char *text = malloc(length + 1);
	return text && napi_get_value_string_utf8(env, value, text, length + 1, &length) == 0 ? text : NULL;
}

/* become(path, words): returns only where it cannot be. */
static napi_value become(napi_env env, napi_callback_info info) {
	napi_value given[2], word;
	size_t count = 2;
	uint32_t length;
	if (napi_get_cb_info(env, info, &count, given, NULL, NULL) != 0 || count != 2 || napi_get_array_length(env, given[1], &length) != 0)
		return NULL;
	char *path = text_of(env, given[0]), **words = calloc((size_t)length + 1, sizeof *words);
	if (!path || !words)
		return NULL;
	for (uint32_t i = 0; i < length; i++)
		if (napi_get_element(env, given[1], i, &word) != 0 || !(words[i] = text_of(env, word)))
			return NULL;
	signal(SIGPIPE, SIG_DFL); /* Node ignores both, and what is ignored stays so */
	signal(SIGXFSZ, SIG_DFL);
	for (int file = 0; file < 3; file++)
		fcntl(file, F_SETFD, 0); /* it lets nothing of what it was given be passed on: uv_disable_stdio_inheritance() */
	execv(path, words);
	return NULL;
}

__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports) {
	napi_value function;
	(void)exports;
	return napi_create_function(env, "become", 6, become, NULL, &function) == 0 ? function : NULL;
}
