/* What goes through a mirror. Passed on is only what comes while the real device is grabbed, so that nothing is typed twice: the
 * kernel's own keyboard handler listens to the mirror as to every keyboard. Who grabs or lets go while a key is down would leave it
 * down for whoever no longer hears of it, so either waits until all are up. */
#include "mirror.h"
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

enum {
	PATIENCE = 2000, /* ms for keys to be let go of; then something lies on the keyboard */
	EVENTS = 64,
	RETRIES = 10,
};

static void put(struct mirror *mirror, int type, int code, int value) {
	struct input_event event = { .type = (uint16_t)type, .code = (uint16_t)code, .value = value };
	if (write(mirror->uinput, &event, sizeof event) < 0)
		mirror->is_stale = 1;
}

static void keys_of(int file, unsigned long *keys) {
	memset(keys, 0, WORDS(KEY_CNT) * sizeof *keys);
	if (file >= 0)
		ioctl(file, EVIOCGKEY(WORDS(KEY_CNT) * sizeof *keys), keys);
}

/* Makes the mirror's keys what they are to be, whatever programs inside have written there; NULL: all up. Whether any was another. */
static int set_keys(struct mirror *mirror, const unsigned long *wanted) {
	unsigned long now[WORDS(KEY_CNT)];
	int changed = 0;
	keys_of(mirror->own, now);
	for (unsigned key = 0; key < KEY_CNT; key++) {
		int down = wanted && has_bit(wanted, key);
		if (has_bit(now, key) == down)
			continue;
		put(mirror, EV_KEY, (int)key, down);
		changed = 1;
	}
	if (changed)
		put(mirror, EV_SYN, SYN_REPORT, 0);
	return changed;
}

static void lift_contacts(struct mirror *mirror) {
	for (int slot = 0; slot < 64; slot++)
		if (mirror->contacts >> slot & 1) {
			put(mirror, EV_ABS, ABS_MT_SLOT, slot);
			put(mirror, EV_ABS, ABS_MT_TRACKING_ID, -1);
		}
	if (mirror->contacts)
		put(mirror, EV_SYN, SYN_REPORT, 0);
	mirror->contacts = 0;
}

/* Axes and switches are where they are, also those that were moved meanwhile. */
static void set_positions(struct mirror *mirror) {
	unsigned long axes[WORDS(ABS_CNT)] = { 0 }, switches[WORDS(SW_CNT)] = { 0 };
	struct input_absinfo axis;
	ioctl(mirror->real_file, EVIOCGBIT(EV_ABS, sizeof axes), axes);
	for (unsigned code = 0; code <= ABS_MT_SLOT; code++)
		if (has_bit(axes, code) && ioctl(mirror->real_file, EVIOCGABS(code), &axis) == 0) {
			put(mirror, EV_ABS, (int)code, axis.value);
			if (code == ABS_MT_SLOT)
				mirror->slot = axis.value;
		}
	if (ioctl(mirror->real_file, EVIOCGSW(sizeof switches), switches) >= 0)
		for (unsigned code = 0; code < SW_CNT; code++)
			put(mirror, EV_SW, (int)code, (int)has_bit(switches, code));
	put(mirror, EV_SYN, SYN_REPORT, 0);
}

static void set_lights(struct mirror *mirror) {
	unsigned long lights[WORDS(LED_CNT)] = { 0 };
	if (ioctl(mirror->own, EVIOCGLED(sizeof lights), lights) < 0)
		return;
	for (unsigned light = 0; light < LED_CNT; light++) {
		struct input_event event = { .type = EV_LED, .code = (uint16_t)light, .value = (int)has_bit(lights, light) };
		if (write(mirror->real_file, &event, sizeof event) < 0)
			return;
	}
}

static int open_real(struct mirror *mirror) {
	char path[128];
	struct stat found;
	snprintf(path, sizeof path, "/dev/input/%s", mirror->real);
	mirror->real_file = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (mirror->real_file < 0)
		return 0;
	if (fstat(mirror->real_file, &found) < 0 || found.st_rdev != mirror->real_node) {
		close_real(mirror);
		return 0;
	}
	listen_to(mirror, mirror->real_file);
	return 1;
}

void close_real(struct mirror *mirror) {
	if (mirror->real_file >= 0)
		close(mirror->real_file);
	mirror->real_file = -1;
	mirror->grabbed = mirror->passing = 0;
}

/* Whether a key is down that the kernel types with; those of mice and pens come after them. Who leaves waits for those alone that
 * were down by then: what is pressed next is for whoever is visible now. */
static int is_typing(struct mirror *mirror, int leaves) {
	unsigned long keys[WORDS(KEY_CNT)];
	int typing = 0;
	keys_of(mirror->real_file, keys);
	for (size_t i = 0; leaves && i < WORDS(KEY_CNT); i++)
		keys[i] = mirror->held[i] &= keys[i];
	for (unsigned key = 0; key < BTN_MISC; key++)
		typing |= has_bit(keys, key);
	return typing;
}

int settle(struct mirror *mirror, int visible, long now) {
	struct input_event events[EVENTS];
	int late = now - mirror->since > PATIENCE;
	int kept = visible || relay.seat_of; /* a seat's own are never the host's */
	if (visible ? mirror->passing : kept ? mirror->grabbed : mirror->real_file < 0)
		return 1;
	if (kept && mirror->real_file < 0 && !open_real(mirror))
		return late; /* it has gone, and udevd will say so */
	if (!late && is_typing(mirror, !kept))
		return 0;
	if (!kept) {
		close_real(mirror);
		return 1;
	}
	if (!mirror->grabbed && ioctl(mirror->real_file, EVIOCGRAB, 1) < 0)
		return late; /* another machine has not yet let go of it, or a program of the host never does */
	mirror->grabbed = 1;
	if (!visible)
		return 1;
	while (read(mirror->real_file, events, sizeof events) > 0)
		;
	keys_of(mirror->real_file, mirror->held);
	ioctl(mirror->own, EVIOCGRAB, 0);
	set_positions(mirror);
	set_lights(mirror);
	mirror->dropped = 0;
	mirror->passing = 1;
	return 1;
}

void stop_passing(struct mirror *mirror) {
	keys_of(mirror->grabbed ? mirror->real_file : -1, mirror->held);
	if (!mirror->passing)
		return;
	mirror->passing = 0;
	lift_contacts(mirror);
	/* Programs inside can press keys of the mirror until it is grabbed, and these would stay down on the host. */
	for (int tries = 0; tries < RETRIES; tries++) {
		unsigned long keys[WORDS(KEY_CNT)];
		int down = 0;
		set_keys(mirror, NULL);
		if (ioctl(mirror->own, EVIOCGRAB, 1) < 0)
			break;
		keys_of(mirror->own, keys);
		for (size_t i = 0; i < WORDS(KEY_CNT); i++)
			down |= keys[i] != 0;
		if (!down)
			return;
		ioctl(mirror->own, EVIOCGRAB, 0);
	}
	mirror->is_stale = 1; /* somebody inside has grabbed it, or does not stop to write: it is made anew */
}

/* Some events were lost. */
static void catch_up(struct mirror *mirror) {
	unsigned long keys[WORDS(KEY_CNT)];
	keys_of(mirror->real_file, keys);
	for (size_t i = 0; i < WORDS(KEY_CNT); i++) {
		mirror->held[i] &= keys[i];
		keys[i] &= ~mirror->held[i];
	}
	lift_contacts(mirror);
	set_keys(mirror, keys);
	set_positions(mirror);
}

static int is_passed(struct mirror *mirror, const struct input_event *event) {
	if (event->type == EV_SYN && event->code == SYN_DROPPED)
		mirror->dropped = 1;
	if (mirror->dropped) {
		if (event->type == EV_SYN && event->code == SYN_REPORT) {
			mirror->dropped = 0;
			catch_up(mirror);
		}
		return 0;
	}
	if (event->type == EV_KEY && event->code < KEY_CNT) {
		if (event->value == 2 && mirror->repeats)
			return 0; /* the mirror repeats by itself */
		if (!has_bit(mirror->held, event->code))
			return 1;
		if (event->value == 0)
			mirror->held[event->code / WORD] &= ~(1UL << event->code % WORD);
		return 0;
	}
	if (event->type == EV_ABS && event->code == ABS_MT_SLOT)
		mirror->slot = event->value;
	if (event->type == EV_ABS && event->code == ABS_MT_TRACKING_ID && mirror->slot >= 0 && mirror->slot < 64) {
		uint64_t contact = (uint64_t)1 << mirror->slot;
		mirror->contacts = event->value >= 0 ? mirror->contacts | contact : mirror->contacts & ~contact;
	}
	return event->type == EV_SYN || event->type == EV_REL || event->type == EV_ABS || event->type == EV_MSC || event->type == EV_SW;
}

void pass_events(struct mirror *mirror) {
	struct input_event events[EVENTS];
	ssize_t length = read(mirror->real_file, events, sizeof events);
	if (length < 0 && errno != EAGAIN && errno != EINTR)
		close_real(mirror); /* it has gone */
	/* Only now: what comes after the terminal has been left is never passed on. */
	look_at_terminal();
	for (size_t i = 0; mirror->passing && length > 0 && i < (size_t)length / sizeof *events; i++)
		if (is_passed(mirror, &events[i]))
			put(mirror, events[i].type, events[i].code, events[i].value);
}

void pass_lights(struct mirror *mirror) {
	struct input_event event;
	while (read(mirror->uinput, &event, sizeof event) == sizeof event)
		if (mirror->passing && (event.type == EV_LED || event.type == EV_SND) && write(mirror->real_file, &event, sizeof event) < 0)
			return;
}
