/* The parts of the job udev-relay. */
#pragma once
#include "native.h"
#include <sys/types.h>

enum { INPUT_MAJOR = 13 /* linux/major.h */ };

struct device {
	const char *subsystem;
	char name[64]; /* in /sys, and of its node in /dev/input */
	int has_node;
	dev_t node;
};

/* Letters, digits, '_' and '-', and no more than fit in a device's name: nothing that leads out of a folder. */
int is_plain(const char *text);

/* Of the devices that a container is told of; NULL ends them. */
extern const char *const subsystems[];

/* `seat`: what the device's property ID_SEAT says, or NULL. */
int is_of_seat(const struct device *device, const char *seat);

/* Whether the device belongs to the seat that is served, or to none where no seat is. `place`: what its property ID_PATH says, or NULL. */
int belongs(const struct device *device, const char *place);

/* What the job was told. */
extern struct relay {
	const char *seat, *machine, *group;
	const char *name;  /* of the machine, or the last part of the group */
	int mirrors;       /* devices of its own are given, made for the host's: with `terminal` or `seat_of` */
	const char *seat_of; /* those that belong to the seat of this machine are mirrored, and nobody else hears of them */
	unsigned terminal; /* devices are mirrored, and what happens on them passed on while this one is visible; 0: the host's own are given */
	uid_t uid;
	gid_t gid;
	mode_t mode;
} relay;

/* udev-folders.c: what the container has as /dev/input and /run/udev. */
void open_folders(const char *nodes, const char *udev);
void keep_device(const struct device *device);
void forget_device(const struct device *device);
void drop_node(const char *name); /* its entry stays, so that its end is still told */
int has_device(const struct device *device);
void enumerate(void);
void say_ready(void);
void remove_nodes(void);

/* udev-sender.c: the network of the container. */
void send_inside(const void *bytes, size_t length);

/* Readable when the container that was last sent to has ended, or -1. */
int container_end(void);
void leave_container(void);
