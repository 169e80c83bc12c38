/* A virtual device that has all that a real one has, but for force feedback: Documentation/input/uinput.rst. */
#include "mirror.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/uinput.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define MARK "nestbox/"

static const struct {
	int type, codes;
	unsigned long request;
} kinds[] = {
	{ EV_KEY, KEY_CNT, UI_SET_KEYBIT }, { EV_REL, REL_CNT, UI_SET_RELBIT }, { EV_ABS, ABS_CNT, UI_SET_ABSBIT }, { EV_MSC, MSC_CNT, UI_SET_MSCBIT },
	{ EV_SW, SW_CNT, UI_SET_SWBIT }, { EV_LED, LED_CNT, UI_SET_LEDBIT }, { EV_SND, SND_CNT, UI_SET_SNDBIT },
};

static int is_button(int key) {
	return key == KEY_POWER || key == KEY_POWER2 || key == KEY_SLEEP || key == KEY_SUSPEND || key == KEY_WAKEUP || key == KEY_RESTART;
}

int is_not_mirrored(int real) {
	char phys[sizeof MARK] = "";
	unsigned long types[WORDS(EV_CNT)] = { 0 }, keys[WORDS(KEY_CNT)] = { 0 };
	ioctl(real, EVIOCGPHYS(sizeof phys - 1), phys);
	if (strncmp(phys, MARK, strlen(MARK)) == 0)
		return 1;
	ioctl(real, EVIOCGBIT(0, sizeof types), types);
	ioctl(real, EVIOCGBIT(EV_KEY, sizeof keys), keys);
	for (int i = 0; i < KEY_CNT; i++)
		if (has_bit(keys, i) && !is_button(i))
			return 0;
	return !has_bit(types, EV_REL) && !has_bit(types, EV_ABS);
}

int is_given(const struct device *device) {
	char path[256], phys[256] = "", own[256];
	if (strcmp(device->subsystem, "input") != 0)
		return 1;
	snprintf(path, sizeof path, strncmp(device->name, "input", 5) == 0 ? "/sys/class/input/%s/phys" : "/sys/class/input/%s/device/phys", device->name);
	int file = open(path, O_RDONLY | O_CLOEXEC);
	if (file >= 0) {
		ssize_t length = read(file, phys, sizeof phys - 1);
		phys[length > 0 ? length : 0] = '\0';
		close(file);
	}
	int length = snprintf(own, sizeof own, MARK "%s/", relay.name);
	if (relay.mirrors)
		return strncmp(phys, own, (size_t)length) == 0;
	return strncmp(phys, MARK, strlen(MARK)) != 0;
}

/* Its kernel name, node and number; what it has as its node is opened before anybody inside can. */
static int open_own(struct mirror *mirror) {
	char path[256], node[300];
	if (ioctl(mirror->uinput, UI_GET_SYSNAME(sizeof mirror->system), mirror->system) < 0)
		return 0;
	snprintf(path, sizeof path, "/sys/devices/virtual/input/%s", mirror->system);
	DIR *list = opendir(path);
	for (struct dirent *found; list && (found = readdir(list));)
		if (strncmp(found->d_name, "event", 5) == 0 && is_plain(found->d_name))
			strcpy(mirror->own_name, found->d_name);
	if (list)
		closedir(list);
	snprintf(node, sizeof node, "/dev/input/%s", mirror->own_name);
	mirror->own = *mirror->own_name ? open(node, O_RDWR | O_NONBLOCK | O_CLOEXEC) : -1;
	return mirror->own >= 0 && ioctl(mirror->own, EVIOCGRAB, 1) == 0;
}

int make_device(struct mirror *mirror, int real) {
	struct uinput_setup setup = { 0 };
	unsigned long types[WORDS(EV_CNT)] = { 0 }, bits[WORDS(KEY_CNT)];
	char phys[256];
	unsigned rate[2];
	mirror->uinput = open("/dev/uinput", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	snprintf(phys, sizeof phys, MARK "%s/%s", relay.name, mirror->real);
	if (mirror->uinput < 0 || ioctl(real, EVIOCGID, &setup.id) < 0 || ioctl(real, EVIOCGNAME(sizeof setup.name - 1), setup.name) < 0
	    || ioctl(real, EVIOCGBIT(0, sizeof types), types) < 0 || ioctl(mirror->uinput, UI_SET_PHYS, phys) < 0)
		return 0;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		memset(bits, 0, sizeof bits);
		if (!has_bit(types, kinds[i].type) || ioctl(real, EVIOCGBIT(kinds[i].type, sizeof bits), bits) < 0)
			continue;
		ioctl(mirror->uinput, UI_SET_EVBIT, kinds[i].type);
		for (int code = 0; code < kinds[i].codes; code++) {
			if (!has_bit(bits, code))
				continue;
			ioctl(mirror->uinput, kinds[i].request, code);
			struct uinput_abs_setup axis = { .code = (uint16_t)code };
			if (kinds[i].type == EV_ABS && (ioctl(real, EVIOCGABS(code), &axis.absinfo) < 0 || ioctl(mirror->uinput, UI_ABS_SETUP, &axis) < 0))
				return 0;
		}
	}
	memset(bits, 0, sizeof bits);
	ioctl(real, EVIOCGPROP(sizeof bits), bits);
	for (int property = 0; property < INPUT_PROP_CNT; property++)
		if (has_bit(bits, property))
			ioctl(mirror->uinput, UI_SET_PROPBIT, property);
	mirror->repeats = has_bit(types, EV_REP);
	if (mirror->repeats)
		ioctl(mirror->uinput, UI_SET_EVBIT, EV_REP);
	if (ioctl(mirror->uinput, UI_DEV_SETUP, &setup) < 0 || ioctl(mirror->uinput, UI_DEV_CREATE) < 0 || !open_own(mirror))
		return 0;
	if (mirror->repeats && ioctl(real, EVIOCGREP, rate) == 0)
		ioctl(mirror->own, EVIOCSREP, rate);
	return 1;
}
