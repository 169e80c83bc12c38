/* Virtual devices of udev-relay that stand for the host's keyboards and mice: what happens on these arrives there while a terminal is visible. */
#pragma once
#include "udev-relay.h"
#include <linux/input.h>

#define WORD (8 * sizeof(unsigned long))
#define WORDS(bits) (((bits) + WORD - 1) / WORD)

struct mirror {
	struct mirror *next;
	char real[64], own_name[64], system[32]; /* eventN, eventM, inputM */
	dev_t real_node;
	int real_file; /* open while the terminal is visible, and until the keys that are down then are up again; else -1 */
	int uinput;    /* writing is what happens on the mirror, reading are its lights */
	int own;       /* the mirror itself. Grabbed while nothing is passed on: what programs inside write there would else be typed on the host */
	int grabbed, passing, is_known, is_stale;
	int repeats, dropped;
	long since; /* ms of the clock: when the terminal came or went */
	unsigned long held[WORDS(KEY_CNT)]; /* keys that were down when the terminal came or went, until they are up */
	int slot;
	uint64_t contacts; /* slots with a finger that the mirror knows of */
};

static inline int has_bit(const unsigned long *bits, unsigned at) {
	return bits[at / WORD] >> at % WORD & 1;
}

/* mirrors.c: which there are. */
void open_mirrors(void);
int mirrors_file(void);                     /* readable when there is something to serve, or -1 */
int mirrors_wait(void);                     /* ms until serve_mirrors() is to be called without that, or -1 */
void serve_mirrors(void);
int mirrors_are_known(void);                /* udevd has told about all of them, or does not come to it */
void mirror_is_known(const char *own_name); /* udevd has told about this one */
void mirror_device(const struct device *real, int wanted); /* makes its mirror, or takes it away */
void sweep_mirrors(void); /* those of devices that have gone */
void look_at_terminal(void);
void listen_to(struct mirror *mirror, int file);

/* Whether a container may have a device at all: no other machine's mirror, and with mirrors these alone. */
int is_given(const struct device *device);

/* mirror-device.c: makes the virtual device of one that is open; false where it cannot be. */
int make_device(struct mirror *mirror, int real);
/* A mirror, or a device that has nothing but the buttons of the computer, such as the one that switches it off. */
int is_not_mirrored(int real);

/* mirror-events.c: what goes through. */
int settle(struct mirror *mirror, int visible, long now); /* false: to be called again soon */
void stop_passing(struct mirror *mirror);
void pass_events(struct mirror *mirror);
void pass_lights(struct mirror *mirror);
void close_real(struct mirror *mirror);
