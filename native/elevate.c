/* Asking a person who runs a machine for root, without Node in between: src/host/elevate.ts and src/elevation.ts do the same for all other commands. */
#include "native.h"
#include <libgen.h>
#include <limits.h>
#include <sys/stat.h>

/* Where programs of the host are looked for: programFolders of src/probe.ts. */
static const char *folders[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin" };

static int find(const char *name, char *path) {
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		snprintf(path, PATH_MAX, "%s/%s", folders[i], name);
		if (access(path, X_OK) == 0)
			return 1;
	}
	return 0;
}

/* The name by which this very nestbox is called from wherever, or else its path. 0: it has none. */
static int own_name(char *path) {
	char self[PATH_MAX], real[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
	if (length < 0)
		return 0;
	self[length] = '\0';
	char *folder = dirname(self);
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		snprintf(path, PATH_MAX, "%s/nestbox", folders[i]);
		if (access(path, X_OK) == 0 && realpath(path, real) && strcmp(dirname(real), folder) == 0)
			return 1;
	}
	return snprintf(path, PATH_MAX, "%s/nestbox", folder) < PATH_MAX && access(path, X_OK) == 0;
}

/* In the order of `kept` in src/elevation.ts. */
const char *const kept_variables[] = { "DISPLAY", "XAUTHORITY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "PULSE_SERVER", NULL };

void elevate(int argc, char **argv) {
	enum { KEPT = sizeof kept_variables / sizeof *kept_variables };
	static char tool[PATH_MAX], own[PATH_MAX], folder[PATH_MAX], said[KEPT][PATH_MAX + 32];
	char *words[argc + 2 * KEPT + 4], *value;
	int k = 0;
	if (!isatty(0) && !getenv("DISPLAY") && !getenv("WAYLAND_DISPLAY"))
		return; /* nobody is there who could answer */
	if (!((access("/run/dbus/system_bus_socket", F_OK) == 0 && find("pkexec", tool)) || find("sudo", tool)) || !own_name(own) || !getcwd(folder, sizeof folder))
		return;
	words[k++] = tool, words[k++] = own;
	snprintf(said[KEPT - 1], sizeof said[0], "PWD=%s", folder);
	words[k++] = "--keep", words[k++] = said[KEPT - 1];
	for (int i = 0; kept_variables[i]; i++)
		if ((value = getenv(kept_variables[i])) && *value) {
			if (snprintf(said[i], sizeof said[i], "%s=%s", kept_variables[i], value) >= (int)sizeof said[i])
				return;
			words[k++] = "--keep", words[k++] = said[i];
		}
	for (int i = 1; i <= argc; i++)
		words[k++] = argv[i]; /* the last is the NULL at its end */
	execv(tool, words);
}
